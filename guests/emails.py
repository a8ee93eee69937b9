"""The contents of emails about a place on a list. They are read when the email is sent."""

from collections.abc import Iterable, Mapping

from django.conf import settings
from django.core.files.storage import default_storage
from django.utils.translation import gettext_lazy as _

from accounts.emails import recipient_of
from accounts.services import is_blocked
from guests.models import Event, Guest
from guests.passes.holders import link_for_holder
from guests.qr.codes import image_name, image_url
from notifications.causes import Recipient, Subject, register_causes
from notifications.kinds import EmailContent, email_kind
from snap.pages import page_url


@email_kind("qr_code", _("QR code"))
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


@email_kind("waitlisted", _("On the waiting list"))
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
    guest_id, listings = _numbers_in(cause)
    guests = Guest.objects.filter(pk=guest_id, listings=listings)
    return guests.select_related("event", "account").first()


def _numbers_in(cause: str) -> tuple[int, int]:
    """Return the guest's id and the number of listings in a cause. 0 for what is no number."""
    parts = cause.removeprefix("guest:").split("/")
    numbers = [int(part) if part.isdecimal() else 0 for part in [*parts, ""]]
    return numbers[0], numbers[1]


# Causes, for staff --------------------------------------------------------------------------------

RESEND_REFUSALS = {
    "blocked": _("the phone is blocked"),
    "cancelled": _("this guest is not on the list"),
    "event_cancelled": _("the event was cancelled"),
    "event_over": _("the event is over"),
    "outdated": _("it is about an earlier state: send it from the guest's page"),
    "unproven": _("the QR code waits for a proof of the phone or the email"),
}
# The state that a guest has to have, by kind of email. Other kinds do not depend on it.
STATE_FOR_KIND = {"qr_code": Guest.State.ON_LIST, "waitlisted": Guest.State.WAITING}


def _find_recipient(kind: str, cause: str) -> Recipient:
    """Return the guest's account, and why staff cannot send it this email again, if so."""
    guest_id, listings = _numbers_in(cause)
    events = Event.objects.with_database_time()
    guest = Guest.objects.filter(pk=guest_id).select_related("account").first()
    if guest is None:
        return recipient_of(None)
    guest.event = events.get(pk=guest.event_id)
    recipient = recipient_of(guest.account)
    refusal = recipient.refusal or _guest_refusal(guest, kind, listings)
    return Recipient(recipient.to, recipient.language, refusal)


def _guest_refusal(guest: Guest, kind: str, listings: int) -> str:
    if guest.account.phone and is_blocked(guest.account.phone):
        return "blocked"
    if kind not in STATE_FOR_KIND:
        return ""
    if guest.state == Guest.State.CANCELLED:
        return "cancelled"
    if guest.event.cancelled_at:
        return "event_cancelled"
    if guest.event.is_over():
        return "event_over"
    if guest.state != STATE_FOR_KIND[kind] or guest.listings != listings:
        return "outdated"
    if guest.is_on_list and guest.is_withheld:
        return "unproven"
    return ""


def _describe_guests(causes: Iterable[str]) -> Mapping[str, Subject]:
    given = list(causes)
    ids = {_numbers_in(cause)[0] for cause in given}
    guests = Guest.objects.select_related("event").in_bulk(ids)
    subjects = {}
    for cause in given:
        if guest := guests.get(_numbers_in(cause)[0]):
            text = f"{guest.name} · {guest.event.title}"
            subjects[cause] = Subject(text, "guests_guest_change", guest.pk)
    return subjects


register_causes(
    "guest",
    find_recipient=_find_recipient,
    describe=_describe_guests,
    refusals=RESEND_REFUSALS,
)
