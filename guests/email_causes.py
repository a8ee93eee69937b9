"""Whom emails about guests reach at present, and what they are about, for staff.

A cause is `guest:<id>/<listings>`, with the day of the event for a reminder.
"""

from collections.abc import Iterable, Mapping, Sequence

from django.utils.translation import gettext_lazy as _

from accounts.emails import recipient_of
from accounts.services import is_blocked
from guests.emails import numbers_in
from guests.models import Event, Guest
from guests.requests.pushes import push_places_changed
from notifications.causes import Recipient, Subject, register_causes
from notifications.models import Email
from notifications.reports import on_bounced

RESEND_REFUSALS = {
    "blocked": _("the phone is blocked"),
    "cancelled": _("this guest is not on the list"),
    "event_cancelled": _("the event was cancelled"),
    "event_over": _("the event is over"),
    "outdated": _("it is about an earlier state: send it from the guest's page"),
    "unproven": _("the QR code waits for a proof of the phone or the email"),
}
# The state that a guest has to have, by kind of email. Other kinds do not depend on it.
STATE_FOR_KIND = {
    "qr_code": Guest.State.ON_LIST,
    "reminder": Guest.State.ON_LIST,
    "place_to_prove": Guest.State.ON_LIST,
    "waitlisted": Guest.State.WAITING,
}


def _find_recipient(kind: str, cause: str) -> Recipient:
    """Return the guest's account, and why staff cannot send it this email again, if so."""
    guest_id, listings = numbers_in(cause)
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
    if kind != "place_to_prove" and guest.is_on_list and guest.is_withheld:
        return "unproven"
    return ""


def _describe_guests(causes: Iterable[str]) -> Mapping[str, Subject]:
    given = list(causes)
    ids = {numbers_in(cause)[0] for cause in given}
    guests = Guest.objects.select_related("event").in_bulk(ids)
    subjects = {}
    for cause in given:
        if guest := guests.get(numbers_in(cause)[0]):
            text = f"{guest.name} · {guest.event.title}"
            subjects[cause] = Subject(text, "guests_guest_change", guest.pk)
    return subjects


def _push_bounced(emails: Sequence[Email]) -> None:
    """Have the open pages of guests show that the email about their place came back.

    Deliveries are not pushed: ten thousand pages would load again in one night, to show a time.
    """
    causes = [email.cause for email in emails if email.kind in STATE_FOR_KIND]
    ids = {numbers_in(cause)[0] for cause in causes}
    push_places_changed(Guest.objects.filter(pk__in=ids).only("account_id", "event_id"))


on_bounced.append(_push_bounced)
register_causes(
    "guest",
    find_recipient=_find_recipient,
    describe=_describe_guests,
    refusals=RESEND_REFUSALS,
)
