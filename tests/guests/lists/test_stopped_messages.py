"""Messages that staff stop and resume, and what of a message stays as it was."""

from typing import Any

import pytest
from django.db import DatabaseError, transaction
from django.utils import timezone
from pytest_django import Settings

from accounts.models import User
from guests.lists.messages import (
    confirm_message,
    queue_batch,
    resume_message,
    stop_message,
)
from guests.models import Event, ListMessage, ListMessageChange
from notifications.models import Email
from tests.factories import make_event, make_guest
from tests.helpers.emails import send_all
from tests.helpers.list_messages import emails_to, make_message, queue_all, sent_message, states

pytestmark = pytest.mark.django_db


@pytest.fixture
def event() -> Event:
    return make_event()


# Stopping -----------------------------------------------------------------------------------------


def test_a_stopped_message_sends_nothing_more_until_it_goes_on(
    event: Event, manager: User, settings: Settings
) -> None:
    settings.LIST_MESSAGE_BATCH = 2
    for _ in range(5):
        make_guest(event)
    message = make_message(event)
    confirm_message(message, acting_user=manager)
    queue_batch(message.pk)
    assert stop_message(message, acting_user=manager)
    queue_all()
    send_all()
    assert states() == {"cancelled": 2}
    assert not stop_message(message, acting_user=manager)
    assert resume_message(message, acting_user=manager)
    assert not resume_message(message, acting_user=manager)
    queue_all()
    send_all()
    queue_all()
    assert states() == {"sent": 5}
    assert set(emails_to().values()) == {1}
    changes = ListMessageChange.objects.order_by("pk").values_list("to_state", "actor")
    staff = f"account:{manager.pk}"
    assert [state for state, _ in changes] == ["draft", "sending", "stopped", "sending", "done"]
    assert [actor for _, actor in changes][1:4] == [staff] * 3


def test_an_email_that_a_worker_has_taken_up_is_dropped_after_a_stop(
    event: Event, manager: User
) -> None:
    """It is not cancelled under the worker: it may be on its way. The next attempt drops it."""
    make_guest(event)
    message = sent_message(event, manager)
    Email.objects.filter(kind="list_message").update(leased_until=timezone.now())
    stop_message(message, acting_user=manager)
    assert states() == {"queued": 1}
    Email.objects.update(leased_until=None)
    send_all()
    assert states() == {"cancelled": 1}
    resume_message(message, acting_user=manager)
    send_all()
    assert states() == {"sent": 1}


def test_an_email_whose_fate_is_unknown_is_left_alone(event: Event, manager: User) -> None:
    make_guest(event)
    message = sent_message(event, manager)
    Email.objects.filter(kind="list_message").update(unsure_provider="smtp")
    stop_message(message, acting_user=manager)
    assert states() == {"queued": 1}


# History ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "change",
    [
        {"text_pt": "Outro"},
        {"subject_en": "Other"},
        {"place": "waiting"},
        {"state": "draft"},
        {"recipients": 7},
    ],
    ids=str,
)
def test_a_message_that_was_sent_stays_as_it_is(
    change: dict[str, Any], event: Event, manager: User
) -> None:
    make_guest(event)
    message = sent_message(event, manager)
    rows = ListMessage.objects.filter(pk=message.pk)
    for work in (lambda: rows.update(**change), rows.delete):
        with pytest.raises(DatabaseError), transaction.atomic():
            work()
    message.refresh_from_db()
    assert (message.text_pt, message.place) == ("Abrimos mais cedo.\n\nAté já!", "on_list")


def test_a_draft_changes_and_goes(event: Event) -> None:
    message = make_message(event)
    message.text_pt = "Outro"
    message.save()
    message.delete()
    assert not ListMessage.objects.exists()
    with pytest.raises(DatabaseError), transaction.atomic():
        ListMessageChange.objects.all().delete()
