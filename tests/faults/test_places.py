"""More people than places, one person with many requests, and a row that no worker can end."""

import pytest
from django.db import transaction

from guests.models import Guest, GuestRequest
from tests.factories import make_event, make_request
from tests.faults.breaking import pause
from tests.faults.people import make_people
from tests.faults.scenario import Conclude, Form, MakeStorm
from tests.faults.storm import Storm
from tests.helpers.guards import trigger
from tests.helpers.stack import Stack, wait_for

pytestmark = pytest.mark.processes


@pytest.mark.slow
def test_a_crowd_for_few_places_with_one_person_many_times(
    faulty: Stack, conclude: Conclude, form: Form
) -> None:
    """All people arrive within a second. Each place is given once, also to the impatient person.

    The protections are the lock of the event's row and the unique constraints.
    tests/guests/requests/test_creating.py switches each off and sees doubled places.
    """
    people, places, times = int(form(100, 500)), int(form(20, 50)), int(form(20, 100))
    event = make_event(capacity=places)
    crowd = make_people(people)
    impatient = crowd[0]
    mixed = crowd[1:]
    for number in range(times):
        mixed.insert(number * (people // times), impatient)
    storm = Storm(
        faulty.url,
        event,
        mixed,
        rate=len(mixed),
        at_once=len(mixed),
        patience=60,
        sockets=faulty.sockets_url,
    )
    with storm:
        wait_for(lambda: len(storm.keys) >= len(mixed), 30)
    assert Guest.objects.filter(event=event, phone=impatient.phone).count() == 1
    assert Guest.objects.filter(event=event, state=Guest.State.ON_LIST).count() == places
    conclude(
        storm,
        broken=f"{people} people asked for {places} places within a second, one of them {times}"
        " times.",
    )


@pytest.mark.slow
def test_a_poison_row_in_a_batch(
    faulty: Stack, make_storm: MakeStorm, conclude: Conclude, form: Form
) -> None:
    """A row that no worker can end fails alone, three times, and is then dead and visible to staff.

    The protection is a savepoint for each row after a batch has failed. Without `_end_alone` the
    whole event would wait for the row.
    """
    event = make_event(capacity=100)
    storm = make_storm(int(form(60, 600)), event=event)
    body = "IF NEW.phone = '+351999999999' THEN RAISE 'poison'; END IF; RETURN NEW;"
    with trigger("guests_guest", "INSERT", body):
        with transaction.atomic():  # No worker sees the row before it is poison.
            poison = make_request(event)
            GuestRequest.objects.filter(pk=poison.pk).update(phone="+351999999999")
        with storm:
            pause(form(3, 30))
        wait_for(lambda: GuestRequest.objects.filter(pk=poison.pk, state="dead").exists(), 15)
    assert not Guest.objects.filter(account=poison.account).exists()
    conclude(storm, broken="A trigger refused the guest of one request in a batch.", dead=1)
