"""A page that shows a queued ticket hears how its request ended."""

from datetime import timedelta

import pytest
from django.db.models import F
from pytest_django import Settings

from guests.emergency.draining import drain
from guests.emergency.journal import Journal
from guests.models import Event
from guests.requests.tickets import push_group
from tests.factories import make_account, make_event
from tests.helpers.journal import account_entry, registration_entry
from tests.helpers.pushes import listening

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.mark.parametrize("end", ["closed", "dead"])
def test_the_end_of_a_journalled_request_is_pushed(
    end: str, journal: Journal, settings: Settings
) -> None:
    settings.JOURNAL_ATTEMPTS = 1
    event = make_event()
    entry = account_entry(event, make_account())
    if end == "closed":
        Event.objects.update(list_closes_at=F("list_opens_at") + timedelta(seconds=1))
    else:
        entry = registration_entry(event, email="")
    ticket_id = journal.accept(entry)
    with listening() as receive:
        drain(journal)
        assert push_group(ticket_id) in {group for group, _ in receive(1)}
