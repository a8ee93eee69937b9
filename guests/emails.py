"""The contents of emails about a place on a list. They are read when the emails are sent."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.utils.translation import gettext_lazy as _

from guests.calendars import PUBLISH, calendar_attachment
from guests.event_values import event_values
from guests.models import Event, Guest
from guests.passes.holders import link_for_holder
from guests.place_status import PlaceCode, PlaceStatus, status_of
from guests.qr.codes import image_url, read_image, short_code
from notifications.kinds import EmailContent, email_kind

# The email asks guests to come this much before the event begins, while there is time for that.
EARLY = timedelta(minutes=15)


@email_kind("qr_code", _("QR code"))
def qr_code(causes: Sequence[str]) -> Mapping[str, EmailContent]:
    """Return the QR codes and the events. Two queries.

    An email whose code does not open the door (any more) is left out: that of a cancelled event, of
    one that is over, and a code that waits for a proof. It goes only to the account's present
    address.
    """
    contexts = _QrContexts()
    contents = {}
    for cause, guest in _guests_of(causes).items():
        status = status_of(guest)
        if guest.qr_token is None or not status.shows_code:
            continue
        personal = {
            "first_name": guest.account.first_name,
            "guest_url": link_for_holder(guest),
            "qr_url": settings.PUBLIC_URL + image_url(guest.qr_token),
            "code": short_code(guest.qr_token),
        }
        contents[cause] = EmailContent(
            contexts.find(guest, status),
            personal,
            inline_images={"qr": read_image(guest.qr_token)},
            attachments=[calendar_attachment(guest.event, PUBLISH)],
            only_to=guest.account.email,
        )
    return contents


class _QrContexts:
    """The contexts of a batch. Guests of an event to whom the same applies have one in common."""

    def __init__(self) -> None:
        self._contexts: dict[tuple[int, bool, bool, bool], dict[str, Any]] = {}

    def find(self, guest: Guest, status: PlaceStatus) -> dict[str, Any]:
        event = guest.event
        has_begun = status.phase is Event.Phase.BEGUN
        begins_soon = event.starts_at < guest.database_now + EARLY
        key = (event.pk, guest.is_promoted, has_begun, begins_soon)
        if key not in self._contexts:
            self._contexts[key] = {
                **event_values(event),
                "from_waiting_list": guest.is_promoted,
                "has_begun": has_begun,
                "begins_soon": begins_soon,
                "has_code": True,
                "has_calendar": True,
            }
        return self._contexts[key]


@email_kind("waitlisted", _("On the waiting list"))
def waitlisted(causes: Sequence[str]) -> Mapping[str, EmailContent]:
    """Return the positions on waiting lists. Three queries.

    An email to a guest who is not on it any more is left out, and so is one about a waiting list
    that gives no more places.
    """
    waiting = {}
    for cause, guest in _guests_of(causes).items():
        if status_of(guest).code is PlaceCode.WAITING:
            waiting[cause] = guest
    positions = Guest.objects.positions(guest.pk for guest in waiting.values())
    contexts: dict[int, dict[str, Any]] = {}
    contents = {}
    for cause, guest in waiting.items():
        if guest.event_id not in contexts:
            contexts[guest.event_id] = event_values(guest.event)
        personal = {
            "first_name": guest.account.first_name,
            "position": str(positions[guest.pk]),
        }
        contents[cause] = EmailContent(contexts[guest.event_id], personal)
    return contents


def _guests_of(causes: Sequence[str]) -> dict[str, Guest]:
    """Return the guests of causes `guest:<id>/<listings>`, with their events and accounts.

    A cause whose guest has other listings since is left out. Two queries.
    """
    numbers = {cause: numbers_in(cause) for cause in causes}
    found = Guest.objects.with_database_time().select_related("account")
    guests = found.in_bulk({guest_id for guest_id, _ in numbers.values()})
    # The guests of a batch have few events in common.
    events = Event.objects.in_bulk({guest.event_id for guest in guests.values()})
    by_cause = {}
    for cause, (guest_id, listings) in numbers.items():
        guest = guests.get(guest_id)
        if guest is not None and guest.listings == listings:
            guest.event = events[guest.event_id]
            by_cause[cause] = guest
    return by_cause


def numbers_in(cause: str) -> tuple[int, int]:
    """Return the guest's id and the number of listings in a cause. 0 for what is no number."""
    parts = cause.removeprefix("guest:").split("/")
    numbers = [int(part) if part.isdecimal() else 0 for part in [*parts, ""]]
    return numbers[0], numbers[1]
