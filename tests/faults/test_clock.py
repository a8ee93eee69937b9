"""The application's clocks are wrong: what is due is decided by the database's."""

from datetime import timedelta
from pathlib import Path

import pytest
from django.db import connection
from django.utils import timezone

from snap.local.embedded import PostgreSQL
from tests.factories import make_event
from tests.faults.breaking import changed, pause
from tests.faults.conftest import Conclude, Form, MakeStorm, loud_skip
from tests.helpers.stack import Stack

pytestmark = pytest.mark.processes


@pytest.fixture
def faketime() -> str:
    """The library that gives processes another time (Debian: libfaketime)."""
    found = list(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))
    if not found:
        loud_skip("WRONG CLOCKS NEED LIBFAKETIME: install it with `apt-get install libfaketime`")
    return str(found[0])


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
    """Every process of ours, web included, is an hour behind the database, and an hour ahead.

    It is PostgreSQL that gets another time, which comes to the same: under libfaketime 0.9.10
    some of web's requests hang. The protection is as below.
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


@pytest.mark.parametrize("by", ["+1h", "-1h"])
def test_application_clock_an_hour_wrong(
    faulty: Stack,
    faketime: str,
    make_storm: MakeStorm,
    conclude: Conclude,
    form: Form,
    by: str,
) -> None:
    """Workers and sweeper are an hour ahead of web and the servers, and an hour behind.

    The protection is that rows are due by the database's clock: with Django's `timezone.now()` in
    `due()` workers that are behind would take nothing up for an hour.
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
