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


@pytest.mark.parametrize(("web", "workers"), [("+1h", "-1h"), ("-1h", "+1h")])
def test_application_clock_an_hour_wrong(
    faulty: Stack,
    faketime: str,
    make_storm: MakeStorm,
    conclude: Conclude,
    form: Form,
    web: str,
    workers: str,
) -> None:
    """Web is an hour ahead and the workers an hour behind, and the other way round.

    The protection is that rows are due by the database's clock: with Django's `timezone.now()` in
    `due()` workers that are behind would take nothing up for an hour.
    """

    def wrong(by: str) -> dict[str, str]:
        return {
            "LD_PRELOAD": faketime,
            "FAKETIME": by,
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "PYTHONPATH": str(Path(__file__).parent / "wrong_clock"),
        }

    with (
        changed(faulty, "web", **wrong(web)),
        changed(faulty, "worker", "emails", "sweeper", **wrong(workers)),
    ):
        storm = make_storm(int(form(60, 600)), rate=15)
        with storm:
            pause(form(3, 30))
        broken = f"The clock of web was {web} wrong, that of workers and sweeper {workers}."
        conclude(storm, broken=f"{broken} (libfaketime)")
