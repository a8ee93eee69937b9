"""The queries of Grafana's dashboard, asked of a real Prometheus that watches real processes."""

import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from snap.local.embedded import free_port
from snap.monitor.changes import set_mode
from tests.factories import make_event
from tests.faults.people import make_people
from tests.faults.storm import Storm
from tests.helpers.grafana import as_prometheus, queries
from tests.helpers.promql import metrics_of, unknown_metrics
from tests.helpers.stack import Stack, monitored, wait_for
from tests.helpers.watching import Watch

# Series of Prometheus itself.
OF_PROMETHEUS = {"up", "ALERTS"}
# Queries that have no samples while all is well, and the reason.
QUIET = {"Errors by route A": "no request fails"}
# Seconds until the sweeper has counted, and Prometheus has seen it twice.
PATIENCE = 40.0


def test_every_metric_is_documented() -> None:
    for title, expression in queries().items():
        assert metrics_of(expression), title
        assert unknown_metrics(expression) == set(), title


@pytest.fixture
def night(stack: Stack, tmp_path: Path) -> Iterator[Watch]:
    """More people than an event lets in at once, while Prometheus watches, and a mode is on."""
    event = make_event(capacity=20, limit_per_minute=20)
    port = free_port()
    targets = {"snap": [f"127.0.0.1:{stack.web_port}"], "granian": [f"127.0.0.1:{port}"]}
    with (
        monitored(stack),
        stack.another_web(WEB_METRICS_PORT=str(port)) as web,
        Watch(tmp_path, targets, every=1) as watch,
    ):
        httpx.get(f"{web}/healthz")
        storm = Storm(stack.url, event, make_people(40), rate=10, sockets=stack.sockets_url)
        with storm:
            time.sleep(5)
        # A mode that is on since its first sample has not changed.
        wait_for(lambda: watch.query('load_mode{mode="queue"} == 0'), PATIENCE)
        set_mode("queue", is_on=True, minutes=5, reason="a test")
        yield watch


@pytest.mark.slow
@pytest.mark.processes
def test_every_query_has_an_answer_while_guests_come(night: Watch, stack: Stack) -> None:
    unanswered = {title: as_prometheus(expression) for title, expression in queries().items()}
    deadline = time.monotonic() + PATIENCE
    while unanswered.keys() - QUIET.keys() and time.monotonic() < deadline:
        for title, expression in list(unanswered.items()):
            if night.query(expression):
                del unanswered[title]
        time.sleep(0.5)
    assert unanswered.keys() <= QUIET.keys()
    exported = httpx.get(f"{stack.url}/metrics").text
    (granian,) = night.targets["granian"]
    exported += httpx.get(f"http://{granian}/metrics").text
    for title, expression in queries().items():
        for metric in metrics_of(expression) - OF_PROMETHEUS:
            assert f"\n{metric}{{" in exported or f"\n{metric} " in exported, (title, metric)
