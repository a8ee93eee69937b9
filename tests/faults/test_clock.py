"""The application's clocks are wrong: what is due is decided by the database's."""

from pathlib import Path

import pytest

from tests.stack import Stack

from .breaking import changed, pause
from .conftest import Conclude, Form, MakeStorm, loud_skip

pytestmark = pytest.mark.processes


@pytest.fixture
def faketime() -> str:
    """The library that gives processes another time (Debian: libfaketime)."""
    found = list(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))
    if not found:
        loud_skip("WRONG CLOCKS NEED LIBFAKETIME: install it with `apt-get install libfaketime`")
    return str(found[0])


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

    Not web: under libfaketime 0.9.10 some of its requests hang, and it has not been found out
    whether that is the library's fault, as it is with time.sleep, or ours.

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
