"""The contents of emails about a place on a list. They are read when the email is sent."""

from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta

from django.conf import settings
from django.core.files.storage import default_storage
from django.utils.translation import gettext_lazy as _

from guests.event_values import event_values
from guests.models import Event, Guest
from guests.passes.holders import link_for_holder
from guests.place_status import PlaceCode, status_of
from guests.qr.codes import image_name, image_url
from notifications.kinds import EmailContent, email_kind

# The email asks guests to come this much before the event begins, while there is time for that.
EARLY = timedelta(minutes=15)


@email_kind("qr_code", _("QR code"))
def qr_code(causes: Sequence[str]) -> Mapping[str, EmailContent]:
    """Return the contents of a batch."""
    return _each(causes, _qr_code)


def _qr_code(cause: str) -> EmailContent | None:
    """Return the QR code and the event, or None if the code does not open the door (any more).

    So it is for a cancelled event, for one that is over, and while the code waits for a proof. It
    goes only to the account's present address.
    """
    guest = _guest_of(cause)
    if guest is None or guest.qr_token is None:
        return None
    status = status_of(guest)
    if not status.shows_code:
        return None
    event = guest.event
    with default_storage.open(image_name(guest.qr_token)) as image:
        png = image.read()
    return EmailContent(
        {
            **event_values(event),
            "first_name": guest.account.first_name,
            "guest_url": link_for_holder(guest),
            "qr_url": settings.PUBLIC_URL + image_url(guest.qr_token),
            "from_waiting_list": guest.is_promoted,
            "has_begun": status.phase is Event.Phase.BEGUN,
            "begins_soon": event.starts_at < guest.database_now + EARLY,
        },
        inline_images={"qr": png},
        only_to=guest.account.email,
    )


@email_kind("waitlisted", _("On the waiting list"))
def waitlisted(causes: Sequence[str]) -> Mapping[str, EmailContent]:
    """Return the contents of a batch."""
    return _each(causes, _waitlisted)


def _waitlisted(cause: str) -> EmailContent | None:
    """Return the position on the waiting list, or None if the guest is not on it any more.

    None also when it gives no more places.
    """
    guest = _guest_of(cause)
    if guest is None or status_of(guest).code is not PlaceCode.WAITING:
        return None
    return EmailContent(
        {
            **event_values(guest.event),
            "first_name": guest.account.first_name,
            "position": guest.position(),
        }
    )


def _guest_of(cause: str) -> Guest | None:
    """Return the guest of a cause `guest:<id>/<listings>`, None if listings has changed since."""
    guest_id, _separator, listings = cause.removeprefix("guest:").partition("/")
    guests = Guest.objects.filter(pk=guest_id, listings=listings)
    return guests.with_place_details().first()


def _each(
    causes: Sequence[str], build: Callable[[str], EmailContent | None]
) -> Mapping[str, EmailContent]:
    built = {cause: build(cause) for cause in causes}
    return {cause: content for cause, content in built.items() if content is not None}
