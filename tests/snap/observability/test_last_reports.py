"""What a process has recorded arrives when it ends, or when Celery replaces it."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest

from guests.models import GuestRequest
from guests.requests.accepting import wake_guests_worker
from snap.local import processes
from snap.local.embedded import free_port
from snap.local.processes import Process
from tests.factories import make_request
from tests.helpers.otlp import OtlpReceiver
from tests.helpers.stack import Stack, http, responds, wait_for

pytestmark = [pytest.mark.processes, pytest.mark.slow]

WORKER = (
    "python -m snap.launch celery --quiet -A snap worker --loglevel INFO --queues guests"
    ""
    " --concurrency 1 {} --hostname recycled@%h --without-gossip"
    " --without-mingle --without-heartbeat"
)


@pytest.fixture
def receiver() -> Iterator[OtlpReceiver]:
    running = OtlpReceiver()
    yield running
    running.close()


def traced(receiver: OtlpReceiver) -> dict[str, str]:
    return {"OTEL_EXPORTER_OTLP_ENDPOINT": receiver.url, "OTEL_TRACES_SAMPLER_ARG": "1"}


@contextmanager
def running(name: str, command: str, env: dict[str, str], log: Path) -> Iterator[Process]:
    """Run a process during a block, from the time when it is ready."""
    process = Process(name, command, env)
    with log.open("wb") as output:
        process.start(output)
    try:
        yield process
    finally:
        process.kill()


def test_a_recycled_worker_sends_its_spans(
    stack: Stack, receiver: OtlpReceiver, tmp_path: Path
) -> None:
    """Each child runs one task, and ends before its next regular batch of spans."""
    log, env = tmp_path / "log", stack.env | traced(receiver)
    with (
        stack.frozen("worker"),
        stack.frozen("sweeper"),
        running("recycled", WORKER.format("--max-tasks-per-child 1"), env, log),
    ):
        wait_for(lambda: b" ready." in log.read_bytes(), 60)
        for number in (1, 2, 3):
            make_request()
            wake_guests_worker()
            wait_for(partial(has_spans, receiver, "run/guests.tasks.create_guests", number), 60)
    assert len(receiver.named("create guests")) == 3


def has_spans(receiver: OtlpReceiver, name: str, number: int) -> bool:
    return len(receiver.named(name)) >= number


def test_a_web_process_that_is_stopped_sends_its_spans(
    stack: Stack, receiver: OtlpReceiver, tmp_path: Path
) -> None:
    port = free_port()
    env = stack.env | traced(receiver) | {"WEB_PORT": str(port), "WEB_WORKERS": "1"}
    with running("web", web_command(env), env, tmp_path / "log") as web:
        wait_for(lambda: responds(f"http://localhost:{port}/healthz"), 60)
        http.get(f"http://localhost:{port}/promo/")
        processes.stop([web], 30)
    assert has_spans(receiver, "GET promo/", 1)


def test_a_worker_in_threads_that_is_stopped_sends_its_spans(
    stack: Stack, receiver: OtlpReceiver, tmp_path: Path
) -> None:
    log, env = tmp_path / "log", stack.env | traced(receiver)
    with (
        stack.frozen("worker"),
        stack.frozen("sweeper"),
        running("threads", WORKER.format("--pool threads"), env, log) as worker,
    ):
        wait_for(lambda: b" ready." in log.read_bytes(), 60)
        make_request()
        wake_guests_worker()
        wait_for(lambda: not GuestRequest.objects.pending().exists(), 60)
        processes.stop([worker], 30)
    assert has_spans(receiver, "create guests", 1)


def web_command(env: dict[str, str]) -> str:
    (web,) = [each for each in processes.read_procfile(env) if each.name == "web"]
    return web.command
