"""The contents of emails about a place on a list. They are read when the email is sent."""

from django.conf import settings
from django.core.files.storage import default_storage

from guests.models import Guest
from guests.passes.holders import link_for_holder
from guests.qr.codes import image_name, image_url
from notifications.kinds import EmailContent, email_kind
from snap.pages import page_url


@email_kind("qr_code")
def qr_code(cause: str) -> EmailContent | None:
    """Return the QR code and the event, or None if the guest is not on the list any more.

    None also if the QR code waits for a proof. It goes only to the account's present address.
    """
    guest = _guest_of(cause)
    if guest is None or guest.qr_token is None or guest.is_withheld:
        return None
    event = guest.event
    with default_storage.open(image_name(guest.qr_token)) as image:
        png = image.read()
    return EmailContent(
        {
            "first_name": guest.account.first_name,
            "event_title": event.title,
            "venue": event.venue,
            "address": event.address,
            "starts_at": event.local_start,
            "guest_url": link_for_holder(guest),
            "qr_url": settings.PUBLIC_URL + image_url(guest.qr_token),
            "from_waiting_list": guest.has_waited(),
        },
        inline_images={"qr": png},
        only_to=guest.account.email,
    )


@email_kind("waitlisted")
def waitlisted(cause: str) -> EmailContent | None:
    """Return the position on the waiting list, or None if the guest is not on it any more."""
    guest = _guest_of(cause)
    if guest is None or guest.state != Guest.State.WAITING:
        return None
    return EmailContent(
        {
            "first_name": guest.account.first_name,
            "event_title": guest.event.title,
            "position": guest.position(),
            "event_url": page_url("event", guest.event.slug),
        }
    )


def _guest_of(cause: str) -> Guest | None:
    """Return the guest of a cause `guest:<id>/<listings>`, None if listings has changed since."""
    guest_id, _, listings = cause.removeprefix("guest:").partition("/")
    guests = Guest.objects.filter(pk=guest_id, listings=listings)
    return guests.select_related("event", "account").first()
