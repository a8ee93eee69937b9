"""Outages while staff have turned parts of SNAP off, and both modes are on."""

import time
from datetime import timedelta

import pytest
from django.db import connection
from django.utils import timezone

from snap.control.switches import ASYNC_CREATION, BATCHING, QR_POOL
from snap.local.embedded import PostgreSQL, Valkey
from snap.models import Mode
from tests.faults.breaking import pause
from tests.faults.scenario import Conclude, Form, MakeStorm
from tests.helpers.stack import Stack
from tests.helpers.switches import turn_off, turn_on

pytestmark = pytest.mark.processes

SWITCHES = (ASYNC_CREATION, BATCHING, QR_POOL)


def set_modes(*, is_on: bool) -> None:
    until = timezone.now() + timedelta(minutes=10)
    for name in ("emergency", "queue"):
        by_hand = {"override": is_on, "override_reason": "tests", "override_until": until}
        Mode.objects.update_or_create(name=name, defaults=by_hand)


@pytest.mark.slow
def test_the_database_is_away_while_all_is_off(
    postgresql: PostgreSQL, make_storm: MakeStorm, conclude: Conclude, form: Form
) -> None:
    """Switches go on again while the database is away: processes follow when it is back.

    The last known values hold meanwhile. Requests go to the journal, as with the switches on.
    """
    set_modes(is_on=True)
    turn_off(*SWITCHES)
    seconds = form(4, 60)
    storm = make_storm(int(form(150, 1500)))
    with storm:
        pause(1.5)
        postgresql.stop("immediate")
        pause(seconds)
        postgresql.start()
        connection.close()
        healed_at = time.time()
        pause(1)
        turn_on(*SWITCHES)
        set_modes(is_on=False)
        pause(1.5)
    broken = f"PostgreSQL was killed and away for {seconds:g} s, with all switches off, both modes."
    conclude(storm, broken=broken, healed_at=healed_at)


@pytest.mark.slow
def test_valkey_is_away_while_switches_go_off_and_on(
    valkey: Valkey, faulty: Stack, make_storm: MakeStorm, conclude: Conclude, form: Form
) -> None:
    """Requests of both ways are under way at each change."""
    storm = make_storm(int(form(200, 1500)))
    with storm:
        pause(1)
        valkey.stop("immediate")
        for _ in range(int(form(2, 20))):
            turn_off(*SWITCHES)
            set_modes(is_on=True)
            pause(1.3)
            turn_on(*SWITCHES)
            set_modes(is_on=False)
            pause(1.3)
        turn_off(*SWITCHES)
        valkey.start()
        healed_at = time.time()
        pause(1.3)
        turn_on(*SWITCHES)
        pause(1)
    broken = "Valkey was killed, and switches and modes changed every 1.3 s."
    conclude(storm, broken=broken, healed_at=healed_at)
