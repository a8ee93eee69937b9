"""`/metrics` of real processes, and clients and folders that must not hold up guests."""

import re
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import pytest
from prometheus_client.parser import text_string_to_metric_families

from guests.models import GuestRequest
from snap.local.embedded import free_port
from snap.metering.slots import FOLDER
from snap.observability.metrics import SHOWN_SECONDS
from tests.factories import make_event, make_request
from tests.faults.breaking import kill_one_child
from tests.helpers.stack import Stack, http, wait_for

pytestmark = [pytest.mark.slow, pytest.mark.processes]

Samples = dict[tuple[str, ...], float]


def read_metrics(url: str) -> dict[str, Samples]:
    """Return the values of each sample, by the values of its labels in the order of their names."""
    found: dict[str, Samples] = {}
    text = http.get(f"{url}/metrics").text
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            labels = tuple(value for _, value in sorted(sample.labels.items()))
            found.setdefault(sample.name, {})[labels] = sample.value
    return found


def processes(stack: Stack) -> set[str]:
    return {name for (name,) in read_metrics(stack.url)["process_memory_bytes"]}


def test_all_processes_are_in_the_metrics(stack: Stack) -> None:
    before = read_metrics(stack.url)
    request = make_request(make_event())
    wait_for(lambda: not GuestRequest.objects.filter(pk=request.pk, state="pending"), 20)
    http.get(f"{stack.url}/promo/")

    def is_counted() -> bool:
        now = read_metrics(stack.url)
        ended = ("yes", "created")
        totals = [each["guest_requests_ended_total"].get(ended, 0.0) for each in (before, now)]
        is_well = now.get("service_level") == {(): 1.0}
        is_shown = ("GET", "promo:events", "200") in now["http_requests_total"]
        is_swept = is_well and "guest_creation_queue_depth" in now
        return totals[1] > totals[0] and is_swept and is_shown

    wait_for(is_counted, 20)
    time.sleep(SHOWN_SECONDS)  # Another web process may show an older text.
    now = read_metrics(stack.url)
    names = {name.rpartition("-")[0] for name in processes(stack)}
    assert names == {"web", "ws", "worker", "emails", "sweeper"}
    assert now["http_requests_total"]["GET", "promo:events", "200"] >= 1
    assert now["guest_batch_size_count"][()] >= 1
    assert now["guest_creation_queue_depth"] == {(): 0.0}
    assert now["database_connections"][()] > 1
    assert now["database_pool_connections"]["idle",] >= 1
    assert now["websockets_open"] == {(): 0.0}
    # No process has begun to count before it had its slot.
    files = {path.name for path in (stack.folder / "prometheus").rglob("*") if path.is_file()}
    of_slots = re.compile(r"(\w+_)?(web|ws|worker|emails|sweeper|command)-\d{1,2}\.(db|slot)")
    assert [name for name in files if not of_slots.fullmatch(name)] == []


def test_killed_workers_leave_no_files_behind(stack: Stack) -> None:
    folder = stack.folder / "prometheus" / FOLDER
    workers = psutil.Process(stack.pid("worker"))
    usual = len(workers.children())
    before = {path.name for path in folder.iterdir() if "worker" in path.name}
    for _ in range(5):
        kill_one_child(stack, "worker")
        make_request(make_event())
        wait_for(lambda: not GuestRequest.objects.pending().exists(), 20)
        wait_for(lambda: len(workers.children()) == usual, 20)
    after = {path.name for path in folder.iterdir() if "worker" in path.name}
    slots = [name for name in after if name.endswith(".slot")]
    # The parent, its children, and the replacement of one that had not ended yet.
    assert len(slots) <= 1 + usual + 1
    assert len(after - before) <= 8


@contextmanager
def slow_readers(url: str, number: int) -> Iterator[None]:
    """Ask for /metrics on so many connections, and read a byte of each response."""
    address = urlsplit(url)
    with ExitStack() as stack:
        readers = []
        for _ in range(number):
            reader = stack.enter_context(socket.socket())
            reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
            reader.connect(("127.0.0.1", address.port))
            reader.sendall(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n")
            readers.append(reader)
        for reader in readers:
            reader.settimeout(60)
            assert reader.recv(1) == b"H"
        yield


def test_clients_that_read_slowly_hold_up_no_guest(stack: Stack) -> None:
    """More of them than the process has threads."""
    few = {"WEB_WAITING_THREADS": "16", "WEB_THREADS": "4"}
    with stack.another_web(**few) as url, slow_readers(url, 64):
        for _ in range(5):
            assert http.get(f"{url}/promo/", timeout=20).status_code == 200
        assert http.get(f"{url}/metrics", timeout=20).status_code == 200


@pytest.mark.parametrize("place", ["missing", "a file"])
def test_a_web_process_serves_without_its_folder(stack: Stack, tmp_path: Path, place: str) -> None:
    (tmp_path / "a file").touch()
    folder = {"missing": tmp_path / "none", "a file": tmp_path / "a file" / "none"}[place]
    log = stack.folder / "another-web.log"
    before = len(log.read_text()) if log.exists() else 0
    with stack.another_web(PROMETHEUS_MULTIPROC_DIR=str(folder)) as url:
        assert http.get(f"{url}/promo/").status_code == 200
        assert read_metrics(url)["http_requests_total"]["GET", "promo:events", "200"] == 1
        assert http.get(f"{url}/readyz").json()["breakers"]["database"] == "closed"
    warnings = log.read_text()[before:].count("metrics_kept_in_memory")
    assert warnings == (0 if place == "missing" else 1)


def test_the_servers_own_metrics_have_a_port(stack: Stack) -> None:
    port = free_port()
    with stack.another_web(WEB_METRICS_PORT=str(port)) as url:
        http.get(f"{url}/promo/")
        text = wait_for(lambda: http.get(f"http://127.0.0.1:{port}/metrics").text, 10)
    assert "granian_" in text
