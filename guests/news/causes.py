"""Whom emails about changes of events reach at present, and what they are about, for staff."""

from collections.abc import Iterable, Mapping

from django.utils.translation import gettext_lazy as _

from accounts.emails import recipient_of
from accounts.services import is_blocked
from guests.models import NEWS_KINDS, Event, EventNews, Guest, news_cause
from guests.news.emails import NewsCause
from notifications.causes import Recipient, Subject, register_causes
from notifications.models import Email

RESEND_REFUSALS = {
    "no_place": _("this guest has no place at the event any more"),
    "event_ended": _("the event is over by now"),
    "superseded": _("the event has changed again since"),
}


def _find_recipient(kind: str, cause: str) -> Recipient:
    """Return the guest's account, and why staff cannot send it this email again, if so."""
    parsed = NewsCause.parse(cause)
    guests = Guest.objects.filter(pk=parsed.guest_id, event=parsed.event_id)
    guest = guests.select_related("account").first()
    if guest is None:
        return recipient_of(None)
    guest.event = Event.objects.with_database_time().get(pk=guest.event_id)
    recipient = recipient_of(guest.account)
    refusal = recipient.refusal or _refusal(parsed, guest)
    return Recipient(recipient.to, recipient.language, refusal)


def _refusal(parsed: NewsCause, guest: Guest) -> str:
    if guest.account.phone and is_blocked(guest.account.phone):
        return "blocked"
    if guest.state == Guest.State.CANCELLED:
        return "no_place"
    if guest.event.is_over():
        return "event_ended"
    if guest.event.sequence != parsed.sequence and _has_later(parsed):
        return "superseded"
    return ""


def _has_later(parsed: NewsCause) -> bool:
    """Return whether the guest has an email about a later change."""
    later = EventNews.objects.filter(event=parsed.event_id, sequence__gt=parsed.sequence)
    causes = []
    for sequence in later.values_list("sequence", flat=True):
        causes.append(news_cause(parsed.event_id, sequence, parsed.guest_id))
    return Email.objects.filter(kind__in=NEWS_KINDS, cause__in=causes).exists()


def _describe(causes: Iterable[str]) -> Mapping[str, Subject]:
    parsed = {cause: NewsCause.parse(cause) for cause in causes}
    ids = {each.guest_id for each in parsed.values()}
    guests = Guest.objects.select_related("event").in_bulk(ids)
    subjects = {}
    for cause, each in parsed.items():
        if guest := guests.get(each.guest_id):
            text = f"{guest.name} · {guest.event.title}"
            subjects[cause] = Subject(text, "guests_guest_change", guest.pk)
    return subjects


register_causes(
    "event_change",
    find_recipient=_find_recipient,
    describe=_describe,
    refusals=RESEND_REFUSALS,
)
