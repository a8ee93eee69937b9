"""The web processes die. People without a response ask again."""

import time
from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import httpx
import pytest

from guests.models import GuestRequest
from snap.local.embedded import PostgreSQL
from tests.factories import make_event
from tests.faults.breaking import commits_held, pause, waiting_commits
from tests.faults.people import Person, make_people
from tests.faults.scenario import Conclude, Form, MakeStorm
from tests.helpers.stack import Stack, http, wait_for

pytestmark = pytest.mark.processes


def ask(stack: Stack, event_id: int, person: Person, key: str) -> httpx.Response | None:
    """Ask for a place with an idempotency key. Return None when the connection broke."""
    try:
        return http.post(
            f"{stack.url}/api/client-auth/guests/create-async",
            json={"event_id": event_id},
            headers=person.headers(**{"Idempotency-Key": key}),
            timeout=10,
        )
    except httpx.TransportError:
        return None


@pytest.mark.slow
def test_web_killed_between_commit_and_answer(
    faulty: Stack,
    postgresql: PostgreSQL,
    make_storm: MakeStorm,
    conclude: Conclude,
) -> None:
    """A retry finds the stored request and returns its ticket.

    The protection is that `request_place` finds a request by its key and by (event, account).
    Without both a retry makes a second request.
    """
    event = make_event()
    people_and_keys = [(person, str(uuid4())) for person in make_people(8, newcomers=0)]
    with ThreadPoolExecutor(len(people_and_keys)) as threads:
        with commits_held(postgresql):
            first = [threads.submit(ask, faulty, event.pk, *each) for each in people_and_keys]
            wait_for(
                lambda: len(waiting_commits(postgresql, "granian")) == len(people_and_keys), 2.4
            )
            faulty.kill("web")
            assert [response.result() for response in first] == [None] * len(people_and_keys)
        faulty.start("web")
        storm = make_storm(60)
        with storm:
            again = [threads.submit(ask, faulty, event.pk, *each) for each in people_and_keys]
            pause(2)
    stored = GuestRequest.objects.filter(event=event)
    by_key = dict(stored.values_list("idempotency_key", "ticket_id"))
    assert len(by_key) == stored.count() == len(people_and_keys)
    for (_, key), response in zip(people_and_keys, again, strict=True):
        repeated = response.result()
        assert repeated is not None
        assert repeated.status_code in {200, 202}
        if repeated.status_code == 202:
            assert repeated.json()["ticketId"] == str(by_key[key])
    conclude(
        storm,
        broken="PostgreSQL held the commits of 8 requests (it waited for a standby that does not"
        " exist), the web group was killed there (SIGKILL), and all 8 requests were sent again.",
    )


@pytest.mark.slow
def test_web_killed_again_and_again(
    faulty: Stack, make_storm: MakeStorm, conclude: Conclude, form: Form
) -> None:
    """Requests with a response are stored. People without a response ask again.

    The protection is that the response follows the commit. A 202 before the commit would be lost.
    """
    times = int(form(2, 20))
    storm = make_storm(int(form(160, 1200)))
    with storm:
        for _ in range(times):
            pause(1)
            faulty.kill("web")
            faulty.start("web")
        healed_at = time.time()
        pause(1)
    conclude(storm, broken=f"The web group was killed {times} times.", healed_at=healed_at)
