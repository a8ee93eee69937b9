"""The clocks of processes are wrong. The clock of the database decides when a row is due."""

from datetime import timedelta
from pathlib import Path

import pytest
from django.db import connection
from django.utils import timezone

from snap.local.embedded import PostgreSQL
from tests.factories import make_event
from tests.faults.breaking import changed, pause
from tests.faults.scenario import Conclude, Form, MakeStorm, loud_skip
from tests.helpers.stack import Stack

pytestmark = pytest.mark.processes


@pytest.fixture
def faketime() -> str:
    """Path of libfaketime, which gives processes another time."""
    found = list(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))
    if not found:
        loud_skip("WRONG CLOCKS NEED LIBFAKETIME: install it with `apt-get install libfaketime`")
    return str(found[0])


@pytest.mark.slow
@pytest.mark.parametrize("by", ["+1h", "-1h"])
def test_application_clock_an_hour_off_the_databases(
    postgresql: PostgreSQL,
    faketime: str,
    monkeypatch: pytest.MonkeyPatch,
    make_storm: MakeStorm,
    conclude: Conclude,
    form: Form,
    by: str,
) -> None:
    """Every process of SNAP, web included, is an hour behind or ahead of the database.

    PostgreSQL gets the other time, because some requests of web hang under libfaketime 0.9.10.
    The protection is the same as in the next test.
    """
    now = timezone.now()
    event = make_event(capacity=1000, list_opens_at=now - timedelta(hours=3))
    monkeypatch.setenv("LD_PRELOAD", faketime)
    monkeypatch.setenv("FAKETIME", by)
    monkeypatch.setenv("FAKETIME_DONT_FAKE_MONOTONIC", "1")
    restart(postgresql)
    monkeypatch.undo()
    storm = make_storm(int(form(60, 600)), event=event, rate=15)
    with storm:
        pause(form(3, 30))
    conclude(storm, broken=f"PostgreSQL's clock was {by} off all others (libfaketime).")
    restart(postgresql)


def restart(postgresql: PostgreSQL) -> None:
    postgresql.stop()
    postgresql.start()
    connection.close()


@pytest.mark.slow
@pytest.mark.parametrize("by", ["+1h", "-1h"])
def test_application_clock_an_hour_wrong(
    faulty: Stack,
    faketime: str,
    make_storm: MakeStorm,
    conclude: Conclude,
    form: Form,
    by: str,
) -> None:
    """Workers and sweeper are an hour ahead of web and the servers, or an hour behind.

    The protection is that the clock of the database decides when a row is due. With Django's
    `timezone.now()` in `due()`, workers that are behind would do nothing for an hour.
    """
    wrong = {
        "LD_PRELOAD": faketime,
        "FAKETIME": by,
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "PYTHONPATH": str(Path(__file__).parent / "wrong_clock"),
    }
    with changed(faulty, "worker", "emails", "sweeper", **wrong):
        storm = make_storm(int(form(60, 600)), rate=15)
        with storm:
            pause(form(3, 30))
        broken = f"The clocks of workers and sweeper were {by} wrong (libfaketime)."
        conclude(storm, broken=broken)
