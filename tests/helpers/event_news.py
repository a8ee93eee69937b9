"""Changes of events, and the emails in which their guests are told."""

from typing import Any

from django.core import mail
from django.core.mail import EmailMessage
from django.db.models.functions import Now
from django.test import override_settings

from accounts.models import User
from guests.models import Event, Guest
from guests.news.announcing import announce_changes
from guests.requests.event_changes import change_event
from notifications.models import Email
from tests.factories import with_database_time
from tests.helpers.emails import send_all

NEWS = ["event_changed", "event_cancelled"]
WITHOUT_DELAY = override_settings(EVENT_NEWS_DELAY=0, EVENT_CANCELLED_DELAY=0)


def never() -> bool:
    return False


def edit(event: Event, staff: User, **fields: Any) -> Event:
    """Change fields of an event as staff do in admin. Return it as stored."""
    event = with_database_time(event)
    for name, value in fields.items():
        setattr(event, name, value)
    change_event(event, fields, acting_user=staff)
    return event


def note_sent() -> None:
    """Let all queued emails be sent, without the time that it takes."""
    Email.objects.filter(state="queued").update(state="sent", sent_at=Now())


def announce_all() -> None:
    """Run the sweep about changed events, as if the last changes had settled."""
    with WITHOUT_DELAY:
        announce_changes(never)


def tell() -> list[EmailMessage]:
    """Announce all changes and send all emails. Return the messages that were sent."""
    announce_all()
    before = len(mail.outbox)
    send_all()
    return mail.outbox[before:]


def news_of(guest: Guest) -> list[tuple[str, str]]:
    """Return kind and state of each email to a guest about changes of the event, in order."""
    emails = Email.objects.filter(kind__in=NEWS, cause__endswith=f"/{guest.pk}").order_by("pk")
    return list(emails.values_list("kind", "state"))
