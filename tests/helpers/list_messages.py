"""Messages to lists, and how many emails of them there are."""

from collections import Counter
from typing import Any

from accounts.models import User
from guests.lists.messages import confirm_message, queue_messages
from guests.models import Event, ListMessage
from notifications.models import Email
from tests.factories import make_account


def make_message(event: Event, **fields: Any) -> ListMessage:
    """Make a draft for all guests on the list, in both languages."""
    given = {
        "author": fields.get("author") or make_account(),
        "subject_pt": "Portas às 23:00",
        "text_pt": "Abrimos mais cedo.\n\nAté já!",
        "subject_en": "Doors at 11 pm",
        "text_en": "We open earlier.\n\nSee you!",
    }
    return ListMessage.objects.create(event=event, **given | fields)


def sent_message(event: Event, staff: User, **fields: Any) -> ListMessage:
    """Make a message, confirm it, and queue its emails."""
    message = make_message(event, **fields)
    confirm_message(message, acting_user=staff)
    queue_all()
    message.refresh_from_db()
    return message


def queue_all() -> None:
    queue_messages(lambda: False)


def emails_to() -> Counter[str]:
    """Return how many emails of messages there are to each address."""
    return Counter(Email.objects.filter(kind="list_message").values_list("to", flat=True))


def states() -> Counter[str]:
    """Return how many emails of messages are in each state."""
    return Counter(Email.objects.filter(kind="list_message").values_list("state", flat=True))
