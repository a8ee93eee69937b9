"""What a process knows of the modes: without a query, the last known while the database is away."""

import logging

import pytest
from django.db import Error, connection
from django.test.utils import CaptureQueriesContext

from snap.control import snapshot
from snap.control.modes import (
    EMERGENCY,
    MODES,
    QUEUE,
    batch_factor,
    email_wait,
    is_crowded,
    is_emergency,
    is_queueing,
    paced,
    slowed,
)
from snap.local_cache import reset_process_state
from snap.models import Mode
from snap.monitor.changes import set_mode
from tests.helpers.load import mode_on

pytestmark = pytest.mark.django_db


def state() -> tuple[bool, bool, bool]:
    return is_emergency(), is_queueing(), is_crowded()


def test_each_mode_is_known_after_a_refresh() -> None:
    assert state() == (False, False, False)
    with mode_on(EMERGENCY):
        assert state() == (True, False, True)
    with mode_on(QUEUE):
        assert state() == (False, True, True)
    with mode_on(*MODES):
        assert state() == (True, True, True)
    assert state() == (False, False, False)


def test_before_the_first_refresh_nothing_is_changed() -> None:
    Mode.objects.update(is_on=True)
    reset_process_state()
    assert state() == (False, False, False)
    assert (paced(200), batch_factor(), slowed(1.0), email_wait()) == (200, 1, 1.0, 0)


def test_reading_the_modes_costs_no_query() -> None:
    with mode_on(*MODES), CaptureQueriesContext(connection) as queries:
        state()
        paced(200)
        batch_factor()
        email_wait()
    assert [query["sql"] for query in queries if "snap_mode" not in query["sql"]] == []
    assert not any("SELECT" in query["sql"] for query in queries)


def test_what_staff_set_wins_both_ways() -> None:
    set_mode(QUEUE, is_on=True, minutes=5, reason="rehearsal")
    snapshot.refresh()
    assert is_queueing()
    Mode.objects.filter(pk=EMERGENCY).update(is_on=True)
    set_mode(EMERGENCY, is_on=False, minutes=5, reason="rehearsal")
    snapshot.refresh()
    assert not is_emergency()


def test_the_last_known_modes_hold_while_they_cannot_be_read() -> None:
    with mode_on(EMERGENCY):
        with connection.cursor() as cursor:
            cursor.execute("SAVEPOINT away")
            cursor.execute("ALTER TABLE snap_mode RENAME TO away")
        with pytest.raises(Error):
            snapshot.refresh()
        assert is_emergency()
        with connection.cursor() as cursor:
            cursor.execute("ROLLBACK TO SAVEPOINT away")


def test_a_process_logs_the_modes_that_it_follows(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        with mode_on(EMERGENCY, QUEUE):
            snapshot.refresh()
        snapshot.refresh()
    lines = [line for line in caplog.records if line.message == "modes_followed"]
    assert [vars(line)["modes"] for line in lines] == ["emergency,queue", "none"]
