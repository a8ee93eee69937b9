import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from django.test import Client, RequestFactory
from pytest_django import Settings

from guests.models import GuestRequest
from snap.observability import metrics
from tests.factories import make_event, make_request
from tests.helpers import servers
from tests.helpers.stack import Stack, wait_for
from tests.helpers.stack import readiness as _readiness

WELL = {
    "ready": True,
    "level": 1,
    "database": "ok",
    "redis": "ok",
    "journal": "ok",
    "workers": "ok",
    "breaker": "closed",
}

own_servers = pytest.mark.skipif(
    "servers.postgresql is None or servers.valkey is None",
    reason="only servers that the tests started may be stopped",
)


def readiness(response: Any) -> dict[str, Any]:
    """Return what /readyz says, but for the breakers that other tests have left in this process."""
    return {name: said for name, said in response.json().items() if name != "breakers"}


def readiness_of(stack: Stack) -> dict[str, Any]:
    return _readiness(stack.url)


def test_alive_without_asking_any_server(client: Client) -> None:
    response = client.get("/healthz")
    assert (response.status_code, response.content) == (200, b"ok")
    assert "no-store" in response["Cache-Control"]


@pytest.mark.django_db
def test_ready_when_both_servers_answer(client: Client) -> None:
    response = client.get("/readyz")
    assert response.status_code == 200
    assert readiness(response) == WELL
    assert response.json()["breakers"]["database"] == "closed"


@own_servers
@pytest.mark.django_db
def test_ready_at_level_2_without_redis(client: Client) -> None:
    assert servers.valkey is not None
    servers.valkey.stop("immediate")
    response = client.get("/readyz")
    assert response.status_code == 200
    assert readiness(response) == WELL | {"level": 2, "redis": "away"}


@own_servers
def test_ready_at_level_3_without_the_database(client: Client) -> None:
    assert servers.postgresql is not None
    servers.postgresql.stop("immediate")
    response = client.get("/readyz")
    assert response.status_code == 200
    assert readiness(response) == WELL | {"level": 3, "database": "away", "workers": "unknown"}


@own_servers
def test_not_ready_with_nowhere_to_keep_a_request(
    client: Client, settings: Settings, tmp_path: Path
) -> None:
    assert servers.postgresql is not None
    servers.postgresql.stop("immediate")
    settings.JOURNAL_PATH = tmp_path / "a file" / "journal.sqlite3"
    settings.JOURNAL_PATH.parent.touch()
    response = client.get("/readyz")
    assert response.status_code == 503
    away = {"ready": False, "level": 4, "database": "away", "journal": "away"}
    away |= {"workers": "unknown"}
    assert readiness(response) == WELL | away


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics"])
def test_nothing_can_be_posted(client: Client, path: str) -> None:
    assert client.post(path).status_code == 405


@pytest.mark.parametrize(
    ("address", "forwarded", "status"),
    [
        ("127.0.0.1", None, 200),
        ("::1", None, 200),
        ("192.0.2.7", None, 403),
        ("127.0.0.1", "192.0.2.7", 403),
        ("", None, 403),
    ],
)
def test_without_a_token_only_this_machine_reads_metrics(
    rf: RequestFactory, address: str, forwarded: str | None, status: int
) -> None:
    headers = {"X-Forwarded-For": forwarded} if forwarded else {}
    request = rf.get("/metrics", headers=headers, REMOTE_ADDR=address)
    assert metrics.metrics(request).status_code == status


@pytest.mark.parametrize(
    ("authorization", "status"),
    [("Bearer right", 200), ("Bearer wrong", 403), ("right", 403), ("Bearer ü", 403), ("", 403)],
)
def test_with_a_token_only_its_holders_read_metrics(
    rf: RequestFactory, settings: Settings, authorization: str, status: int
) -> None:
    settings.METRICS_TOKEN = "right"
    request = rf.get("/metrics", headers={"Authorization": authorization}, REMOTE_ADDR="127.0.0.1")
    assert metrics.metrics(request).status_code == status


def test_metrics_add_up_what_several_processes_counted(
    rf: RequestFactory, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path))
    program = "from prometheus_client import Counter; Counter('seen', 'Seen.').inc()"
    for _ in range(2):
        subprocess.run([sys.executable, "-c", program], check=True, env=dict(os.environ))
    response = metrics.metrics(rf.get("/metrics"))
    assert b"\nseen_total 2.0\n" in response.content


def test_a_breaker_shows_from_any_process_for_as_long_as_that_lives(
    rf: RequestFactory, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The protection is that gauges of the dead are removed: else the breaker stays open for ever.

    It is an email worker's that is open here, which a web process has no part in.
    """
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path))
    program = (
        "from snap.resilience.breaker import Breaker;"
        "breaker = Breaker('mail_test', threshold=1, pause=60);"
        "breaker.failed(); print('open', flush=True); input()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program],
        env=dict(os.environ),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as worker:
        assert worker.stdout is not None
        assert worker.stdout.readline() == b"open\n"
        assert metrics.breaker_states() == {"mail_test": "open"}
        worker.kill()
    assert metrics.breaker_states() == {}
    assert b"mail_test" not in metrics.metrics(rf.get("/metrics")).content


@pytest.mark.processes
def test_it_is_known_when_no_worker_takes_anything_up(stack: Stack) -> None:
    """The sweeper does their work, so nothing is due for long: the word stays all the same."""
    with stack.without("worker"):
        request = make_request(make_event())
        wait_for(lambda: readiness_of(stack).get("workers") == "away", 15)
        wait_for(lambda: not GuestRequest.objects.filter(pk=request.pk, state="pending"), 15)
        # A web process caches what it said last for WORKER_CHECK_SECONDS.
        wait_for(lambda: all(_workers_are_away(stack) for _ in range(8)), 5)
    wait_for(lambda: readiness_of(stack).get("workers") == "ok", 30)


def _workers_are_away(stack: Stack) -> bool:
    found = readiness_of(stack)
    return (found["workers"], found["level"], found["ready"]) == ("away", 2, True)


@pytest.mark.processes
def test_it_is_known_when_not_even_the_sweeper_works(stack: Stack) -> None:
    with stack.without("worker"), stack.frozen("sweeper"):
        make_request(make_event())
        wait_for(lambda: readiness_of(stack).get("workers") == "away", 15)
