"""A real Prometheus and Alertmanager watch the real processes, and something breaks."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from django.db import connection

from snap.local.embedded import PostgreSQL
from tests.helpers import servers
from tests.helpers.own_servers import own_postgresql
from tests.helpers.stack import Stack, wait_for
from tests.helpers.watching import Watch

pytestmark = [pytest.mark.processes, pytest.mark.slow]

FIRES = 60.0  # seconds; rules with `for: 30s` are the slowest of these tests


@pytest.fixture
def watch(stack: Stack, tmp_path: Path) -> Iterator[Watch]:
    """Prometheus and Alertmanager beside the stack. Only intervals differ from `deploy/`."""
    with Watch(tmp_path, {"snap": [f"127.0.0.1:{stack.web_port}"]}, every=1) as watch:
        wait_for(lambda: watch.query('up{job="snap"} == 1'), 20)
        yield watch


@pytest.fixture
def postgresql(stack: Stack) -> Iterator[PostgreSQL]:
    """PostgreSQL, for a test to stop. It runs again afterwards."""
    yield own_postgresql()
    servers.freshen()
    connection.close()


def arrived(watch: Watch, title: str) -> bool:
    """Say whether Slack and the mailbox have a message with this title."""
    return title in watch.slack.titles() and title in [
        each["Subject"] for each in watch.mail.messages
    ]


def test_operators_are_told_that_postgresql_is_away_and_that_it_is_back(
    watch: Watch, postgresql: PostgreSQL
) -> None:
    assert watch.firing() == set()
    postgresql.stop("immediate")
    wait_for(lambda: "DatabaseAway" in watch.firing(), FIRES)
    wait_for(lambda: arrived(watch, "CRITICAL: DatabaseAway"))
    (text,) = watch.slack.texts()
    assert "PostgreSQL does not respond." in text
    assert "docs/operations.md#databaseaway" in text
    postgresql.start()
    wait_for(lambda: not watch.firing(), FIRES)
    wait_for(lambda: arrived(watch, "OVER: DatabaseAway"), 20)
    assert set(watch.slack.titles()) == {"CRITICAL: DatabaseAway", "OVER: DatabaseAway"}


def test_operators_are_told_that_a_web_host_is_down_and_that_it_is_back(
    watch: Watch, stack: Stack
) -> None:
    with stack.frozen("web"):
        wait_for(lambda: "SnapDown" in watch.firing(), FIRES)
        wait_for(lambda: arrived(watch, "CRITICAL: SnapDown"))
    wait_for(lambda: not watch.firing(), FIRES)
    wait_for(lambda: arrived(watch, "OVER: SnapDown"), 20)
