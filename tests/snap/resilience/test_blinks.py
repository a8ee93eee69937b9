"""Short outages of the database affect only the requests that are in flight."""

import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import connection

from promo.emergency import QUEUED_SECONDS
from tests.factories import make_accounts, make_event
from tests.faults.breaking import commits_held
from tests.faults.people import Person, make_people, newcomer
from tests.helpers.own_servers import needs_own_postgresql, own_postgresql
from tests.helpers.stack import Stack, http, readiness, wait_for

pytestmark = [
    pytest.mark.processes,
    needs_own_postgresql,
]


def ask(stack: Stack, event_id: int, person: Person) -> int:
    """Ask for a place, and return the estimated seconds."""
    response = http.post(
        f"{stack.url}/api/client-auth/guests/create-async",
        json={"event_id": event_id},
        headers=person.headers(),
        timeout=10,
    )
    assert response.status_code in {200, 202}, response.text
    return int(response.json().get("estimated_time", 0))


@pytest.mark.slow
def test_after_a_stall_of_the_disk_no_request_goes_to_the_journal(stack: Stack) -> None:
    """Otherwise a stall of three seconds would queue all requests of a minute."""
    postgresql = own_postgresql()
    event = make_event()
    *in_flight, before, later = make_people(18, newcomers=0)
    http.get(f"{stack.url}/promo/{event.slug}/")  # This host has seen the event.
    assert ask(stack, event.pk, before) < QUEUED_SECONDS
    with ThreadPoolExecutor(len(in_flight)) as threads:
        with commits_held(postgresql):
            first = [threads.submit(ask, stack, event.pk, each) for each in in_flight]
            time.sleep(3)
        estimates = [each.result() for each in first]
    assert QUEUED_SECONDS in estimates, "the stall was too short to be noticed"
    assert ask(stack, event.pk, later) < QUEUED_SECONDS


def ask_for_code(stack: Stack, person: Person) -> int:
    return http.post(
        f"{stack.url}/api/client-auth/login",
        json={"phone": person.phone},
        headers=person.headers(),
        timeout=10,
    ).status_code


@pytest.mark.slow
def test_after_an_outage_people_can_sign_in_within_seconds(stack: Stack) -> None:
    """With eight people each web process responds to some, so none is still at level 3."""
    postgresql = own_postgresql()
    people = [newcomer(account.phone or "") for account in make_accounts(8)]
    postgresql.stop("immediate")
    assert {ask_for_code(stack, each) for each in people} == {503}
    time.sleep(2)
    postgresql.start()
    connection.close()  # The connection of the test itself.
    back_at = time.monotonic()
    for each in people:
        wait_for(lambda each=each: ask_for_code(stack, each) == 202, 20)  # type: ignore[misc]
    assert time.monotonic() - back_at < 5
    assert [readiness(stack.url)["level"] for _ in range(8)] == [1] * 8
