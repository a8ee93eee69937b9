"""`/healthz`, `/readyz` and `/metrics`."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest
from django.conf import settings
from django.test import Client, RequestFactory
from pytest_django import Settings
from redis import Redis

from guests.models import GuestRequest
from snap.observability import metrics
from snap.resilience.workers import (
    HEARTBEAT_SECONDS,
    PREFIX,
    QUEUES,
    forget_heartbeats,
    record_heartbeat,
)
from tests.factories import make_event, make_request
from tests.helpers.metering import run
from tests.helpers.own_servers import own_postgresql, own_valkey, valkey_without_writes
from tests.helpers.stack import Stack, readiness, wait_for

WELL = {
    "ready": True,
    "level": 1,
    "database": "ok",
    "redis": "ok",
    "journal": "ok",
    "workers": "ok",
    "breaker": "closed",
}


@pytest.fixture(autouse=True)
def _workers_are_connected() -> None:
    """The tests of one process have no workers. Theirs and those of the stack are the same."""
    record_heartbeat(QUEUES)


def readiness_in(response: Any) -> dict[str, Any]:
    """Return the body of /readyz without breakers, which other tests may have changed."""
    return {name: value for name, value in response.json().items() if name != "breakers"}


def test_healthz_asks_no_server(client: Client) -> None:
    response = client.get("/healthz")
    assert (response.status_code, response.content) == (200, b"ok")
    assert "no-store" in response["Cache-Control"]


@pytest.mark.django_db
def test_ready_when_both_servers_respond(client: Client) -> None:
    response = client.get("/readyz")
    assert response.status_code == 200
    assert readiness_in(response) == WELL
    assert response.json()["breakers"]["database"] == "closed"


@pytest.mark.django_db
def test_ready_at_level_2_without_redis(client: Client) -> None:
    own_valkey().stop("immediate")
    response = client.get("/readyz")
    assert response.status_code == 200
    assert readiness_in(response) == WELL | {"level": 2, "redis": "away"}


@pytest.mark.django_db
def test_ready_at_level_2_while_no_worker_is_connected_to_the_broker(client: Client) -> None:
    forget_heartbeats()
    record_heartbeat(["emails"])
    response = client.get("/readyz")
    assert response.status_code == 200
    assert readiness_in(response) == WELL | {"level": 2, "workers": "away"}


@pytest.mark.django_db
def test_a_websocket_is_no_worker(client: Client) -> None:
    """`ws` subscribes to a pattern on the same server, as the workers of Celery do."""
    forget_heartbeats()
    with Redis.from_url(settings.BROKER_URL) as redis, redis.pubsub() as subscription:
        subscription.psubscribe("snap__group__*")
        subscription.get_message(timeout=5)
        assert readiness_in(client.get("/readyz")) == WELL | {"level": 2, "workers": "away"}


def test_a_heartbeat_is_forgotten(db: None) -> None:
    with Redis.from_url(settings.BROKER_URL) as redis:
        assert 0 < redis.ttl(f"{PREFIX}guests") <= HEARTBEAT_SECONDS


@pytest.mark.django_db
def test_ready_at_level_2_while_redis_takes_no_writes(client: Client) -> None:
    with valkey_without_writes():
        assert readiness_in(client.get("/readyz")) == WELL | {"level": 2, "redis": "away"}
    assert readiness_in(client.get("/readyz")) == WELL


def test_ready_at_level_3_without_the_database(client: Client) -> None:
    own_postgresql().stop("immediate")
    response = client.get("/readyz")
    assert response.status_code == 200
    assert readiness_in(response) == WELL | {"level": 3, "database": "away", "workers": "unknown"}


def test_not_ready_when_neither_database_nor_journal_can_store_a_request(
    client: Client, settings: Settings, tmp_path: Path
) -> None:
    own_postgresql().stop("immediate")
    settings.JOURNAL_PATH = tmp_path / "a file" / "journal.sqlite3"
    settings.JOURNAL_PATH.parent.touch()
    response = client.get("/readyz")
    assert response.status_code == 503
    away = {"ready": False, "level": 4, "database": "away", "journal": "away"}
    away |= {"workers": "unknown"}
    assert readiness_in(response) == WELL | away


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
def test_without_a_token_only_this_host_reads_metrics(
    rf: RequestFactory, address: str, forwarded: str | None, status: int
) -> None:
    headers = {"X-Forwarded-For": forwarded} if forwarded else {}
    request = rf.get("/metrics", headers=headers, REMOTE_ADDR=address)
    assert metrics.metrics(request).status_code == status


@pytest.mark.parametrize(
    ("authorization", "status"),
    [("Bearer right", 200), ("Bearer wrong", 403), ("right", 403), ("Bearer ü", 403), ("", 403)],
)
def test_with_a_token_only_its_holder_reads_metrics(
    rf: RequestFactory, settings: Settings, authorization: str, status: int
) -> None:
    settings.METRICS_TOKEN = "right"
    request = rf.get("/metrics", headers={"Authorization": authorization}, REMOTE_ADDR="127.0.0.1")
    assert metrics.metrics(request).status_code == status


@pytest.mark.parametrize(
    "path",
    ["/metrics", "/metrics/", "//metrics", "/Metrics", "/metrics?x=1", "/metrics/..", "/%6detrics"],
)
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "OPTIONS", "MADEUP"])
def test_no_path_or_method_shows_metrics_to_strangers(
    client: Client, settings: Settings, path: str, method: str
) -> None:
    settings.METRICS_TOKEN = "right"
    response = client.generic(method, path, REMOTE_ADDR="127.0.0.1")
    assert response.status_code in {301, 302, 403, 404, 405}
    assert b"http_requests" not in response.content


def test_the_holder_of_the_token_reads_metrics_by_head_too(
    client: Client, settings: Settings
) -> None:
    settings.METRICS_TOKEN = "right"
    headers = {"Authorization": "Bearer right", "X-Forwarded-For": "192.0.2.7"}
    assert b"http_requests" in client.get("/metrics", headers=headers).content
    response = client.head("/metrics", headers=headers)
    assert (response.status_code, response.content) == (200, b"")
    assert client.post("/metrics", headers=headers).status_code == 405


def test_metrics_add_up_what_several_processes_counted(
    rf: RequestFactory, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path))
    for _ in range(2):
        run(tmp_path, "seen.labels('a').inc()")
    response = metrics.metrics(rf.get("/metrics"))
    assert b'\nseen_total{page="a"} 2.0\n' in response.content


def test_metrics_show_the_breaker_of_another_process_while_it_lives(
    rf: RequestFactory, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The protection is that gauges of ended processes are removed. Otherwise it would stay open.

    The breaker is that of an email worker. A web process does not use it.
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


@pytest.mark.slow
@pytest.mark.processes
def test_readyz_shows_that_no_worker_works(stack: Stack) -> None:
    """The sweeper ends the requests, so none is due for long, but workers are still away."""
    with stack.without("worker"):
        request = make_request(make_event())
        wait_for(lambda: readiness(stack.url).get("workers") == "away", 15)
        wait_for(lambda: not GuestRequest.objects.filter(pk=request.pk, state="pending"), 15)
        # A web process caches what it said last for WORKER_CHECK_SECONDS.
        wait_for(lambda: all(_workers_are_away(stack) for _ in range(8)), 5)
    wait_for(lambda: readiness(stack.url).get("workers") == "ok", 30)


def _workers_are_away(stack: Stack) -> bool:
    found = readiness(stack.url)
    return (found["workers"], found["level"], found["ready"]) == ("away", 2, True)


@pytest.mark.slow
@pytest.mark.processes
def test_readyz_shows_that_neither_workers_nor_sweeper_work(stack: Stack) -> None:
    with stack.without("worker"), stack.frozen("sweeper"):
        make_request(make_event())
        wait_for(lambda: readiness(stack.url).get("workers") == "away", 15)


@pytest.mark.slow
@pytest.mark.processes
def test_readyz_shows_workers_that_never_reach_their_broker(stack: Stack) -> None:
    """No request is due, so the database shows nothing."""
    with stack.without("worker"), stack.without("emails"):
        forget_heartbeats()
        wait_for(lambda: _workers_are_away(stack), 5)
    wait_for(lambda: readiness(stack.url).get("workers") == "ok", 30)


@pytest.mark.slow
@pytest.mark.processes
def test_workers_outlive_a_broker_that_takes_no_writes(stack: Stack) -> None:
    pids = {name: stack.pid(name) for name in ("worker", "emails")}
    with valkey_without_writes():
        wait_for(lambda: "Cannot connect to redis" in stack.log("worker"), 20)
        assert readiness(stack.url)["level"] == 2
    request = make_request(make_event())
    wait_for(lambda: not GuestRequest.objects.filter(pk=request.pk, state="pending"), 15)
    wait_for(lambda: readiness(stack.url)["level"] == 1, 15)
    for name, pid in pids.items():
        assert stack.pid(name) == pid
        assert psutil.pid_exists(pid)
