"""A blink of the database: it costs those who were in flight, and nobody who comes after."""

import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import connection

from promo.emergency import QUEUED_SECONDS
from tests.factories import make_accounts, make_event
from tests.faults.breaking import commits_held
from tests.faults.storm import Person, make_people, newcomer
from tests.helpers import servers
from tests.helpers.stack import Stack, http, readiness, wait_for

pytestmark = [
    pytest.mark.processes,
    pytest.mark.skipif("servers.postgresql is None", reason="only a server of the tests' own"),
]


def ask(stack: Stack, event_id: int, person: Person) -> int:
    """Ask for a place, and return how many seconds that is said to take."""
    response = http.post(
        f"{stack.url}/api/client-auth/guests/create-async",
        json={"event_id": event_id},
        headers=person.headers(),
        timeout=10,
    )
    assert response.status_code in {200, 202}, response.text
    return int(response.json().get("estimated_time", 0))


def test_a_stalled_disk_sends_nobody_to_the_journal_once_it_goes_on(stack: Stack) -> None:
    """Whoever can slow the disk for three seconds would otherwise turn a minute of people away."""
    assert servers.postgresql is not None
    event = make_event()
    *in_flight, before, later = make_people(18, newcomers=0)
    http.get(f"{stack.url}/promo/{event.slug}/")  # This host has seen the event.
    assert ask(stack, event.pk, before) < QUEUED_SECONDS
    with ThreadPoolExecutor(len(in_flight)) as threads:
        with commits_held(servers.postgresql):
            first = [threads.submit(ask, stack, event.pk, each) for each in in_flight]
            time.sleep(3)
        told = [each.result() for each in first]
    assert QUEUED_SECONDS in told, "the stall was too short to be noticed"
    assert ask(stack, event.pk, later) < QUEUED_SECONDS


def ask_for_code(stack: Stack, person: Person) -> int:
    return http.post(
        f"{stack.url}/api/client-auth/login",
        json={"phone": person.phone},
        headers=person.headers(),
        timeout=10,
    ).status_code


def test_after_an_outage_everybody_can_sign_in_within_seconds(stack: Stack) -> None:
    """Eight people, so that each of the web processes answers some: none is at level 3 still."""
    assert servers.postgresql is not None
    people = [newcomer(account.phone or "") for account in make_accounts(8)]
    servers.postgresql.stop("immediate")
    assert {ask_for_code(stack, each) for each in people} == {503}
    time.sleep(2)
    servers.postgresql.start()
    connection.close()  # The test's own.
    back_at = time.monotonic()
    for each in people:
        wait_for(lambda each=each: ask_for_code(stack, each) == 202, 20)  # type: ignore[misc]
    assert time.monotonic() - back_at < 5
    assert [readiness(stack.url)["level"] for _ in range(8)] == [1] * 8
