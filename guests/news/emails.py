"""The contents of emails about an event: changed, cancelled, the reminder, a place to be proven."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.utils.http import urlencode
from django.utils.translation import gettext_lazy as _

from accounts.email_links import signature_for
from guests.calendars import CANCEL, PUBLISH, calendar_attachment
from guests.event_values import event_values
from guests.models import NEWS_KINDS, Event, EventNews, Guest, news_cause
from guests.news.states import EventHistory, EventState, read_changes
from guests.passes.holders import link_for_holder
from guests.place_status import HELD_CODES, PlaceCode, status_of
from guests.qr.codes import short_code
from notifications.kinds import Attachment, EmailContent, email_kind
from notifications.models import Email
from snap.pages import page_url

# Emails in these states have arrived, as far as is known.
TOLD_STATES = frozenset(
    {Email.State.SENT, Email.State.DELIVERED, Email.State.OPENED, Email.State.COMPLAINED}
)
# An event that begins in the first hours of a day belongs to the night before.
NIGHT_ENDS = timedelta(hours=6)


def personal_texts(guest: Guest) -> dict[str, str]:
    """Return the texts of one guest. The link opens the pass in any browser."""
    texts = {"first_name": guest.account.first_name, "guest_url": "", "code": ""}
    if guest.qr_token:
        texts["guest_url"] = link_for_holder(guest)
        texts["code"] = short_code(guest.qr_token)
    return texts


# Changed and cancelled --------------------------------------------------------------------------


@dataclass(frozen=True)
class NewsCause:
    """A cause `event_change:<event id>/<sequence>/<guest id>`."""

    event_id: int
    sequence: int
    guest_id: int

    @classmethod
    def parse(cls, cause: str) -> "NewsCause":
        """Return the numbers of a cause. 0 for what is no number."""
        parts = [*cause.partition(":")[2].split("/"), "", "", ""]
        numbers = [int(part) if part.isdecimal() else 0 for part in parts[:3]]
        return cls(*numbers)


@email_kind("event_changed", _("Event changed"))
def event_changed(causes: Sequence[str]) -> Mapping[str, EmailContent]:
    """Say what has changed since the guest was told last, from and to."""
    return News(causes).contents(is_cancelled=False)


@email_kind("event_cancelled", _("Event cancelled"))
def event_cancelled(causes: Sequence[str]) -> Mapping[str, EmailContent]:
    """Say that the event does not take place."""
    return News(causes).contents(is_cancelled=True)


class News:
    """The emails of a batch about changes of events. Four queries for all."""

    def __init__(self, causes: Sequence[str]) -> None:
        self.causes = {cause: NewsCause.parse(cause) for cause in causes}
        event_ids = {parsed.event_id for parsed in self.causes.values()}
        guest_ids = {parsed.guest_id for parsed in self.causes.values()}
        # What was told by event and revision.
        self.states: dict[int, dict[int, EventState]] = defaultdict(dict)
        for news in EventNews.objects.filter(event__in=event_ids).order_by("sequence"):
            self.states[news.event_id][news.sequence] = EventState.from_texts(news.state)
        changes = read_changes(event_ids)
        guests = Guest.objects.filter(event__in=event_ids, pk__in=guest_ids)
        self.guests = guests.with_place_details().in_bulk()
        self.histories: dict[int, EventHistory] = {}
        for guest in self.guests.values():
            if guest.event_id not in self.histories:
                self.histories[guest.event_id] = EventHistory(guest.event, changes[guest.event_id])
        self.told = self._told()
        self.attachments: dict[tuple[int, str], Attachment] = {}
        self.contexts: dict[tuple[object, ...], dict[str, Any]] = {}

    def _told(self) -> dict[int, dict[int, Email]]:
        """Return the emails about changes of each guest, by the change, the oldest first."""
        keys: dict[str, tuple[int, int]] = {}
        for parsed in self.causes.values():
            for sequence in self.states[parsed.event_id]:
                cause = news_cause(parsed.event_id, sequence, parsed.guest_id)
                keys[cause] = (parsed.guest_id, sequence)
        told: dict[int, dict[int, Email]] = defaultdict(dict)
        for email in Email.objects.filter(kind__in=NEWS_KINDS, cause__in=keys):
            guest_id, sequence = keys[email.cause]
            told[guest_id][sequence] = email
        return told

    def contents(self, *, is_cancelled: bool) -> dict[str, EmailContent]:
        contents = {}
        for cause, parsed in self.causes.items():
            guest = self.guests.get(parsed.guest_id)
            if guest is None or not self._is_last(parsed, guest) or not _is_placed(guest):
                continue
            present = self.histories[guest.event_id].present
            known = self._known_to(parsed, guest)
            is_news = not known.says_the_same_as(present) or self._is_unsure(guest)
            if not is_news or present.is_cancelled != is_cancelled:
                continue
            if is_cancelled:
                contents[cause] = self._cancelled(guest)
            else:
                contents[cause] = self._changed(guest, known)
        return contents

    def _is_last(self, parsed: NewsCause, guest: Guest) -> bool:
        """Return whether the news tells the present state, and no later news goes to the guest.

        A change that was not told yet has news of its own, which says what has changed since the
        last news that was sent.
        """
        state = self.states[guest.event_id].get(parsed.sequence)
        if state is None or guest.event_id != parsed.event_id:
            return False
        if not state.says_the_same_as(self.histories[guest.event_id].present):
            return False
        return max(self.told[guest.pk], default=0) <= parsed.sequence

    def _is_unsure(self, guest: Guest) -> bool:
        """Return whether another process may be sending an email that tells something else."""
        return any(map(self._may_be_on_its_way, self.told[guest.pk].values()))

    def _may_be_on_its_way(self, email: Email) -> bool:
        is_leased = email.leased_until is not None and email.cause not in self.causes
        is_queued = email.state == Email.State.QUEUED
        return is_queued and (is_leased or email.unsure_provider != "")

    def _known_to(self, parsed: NewsCause, guest: Guest) -> EventState:
        """Return the state of the event that the guest was told last, before this news."""
        known = self.histories[guest.event_id].state_at(guest.placed_at)
        for sequence, email in sorted(self.told[guest.pk].items()):
            told_at = email.sent_at or email.queued_at
            has_told = _may_have_arrived(email) and told_at >= guest.placed_at
            if sequence < parsed.sequence and has_told:
                known = self.states[parsed.event_id][sequence]
        return known

    def _changed(self, guest: Guest, known: EventState) -> EmailContent:
        return self._content(guest, PUBLISH, self._changed_context(guest, known))

    def _changed_context(self, guest: Guest, known: EventState) -> dict[str, Any]:
        """Return the context for guests who know the same, the same object for all of them."""
        status = status_of(guest)
        event = guest.event
        present = self.histories[event.pk].present
        opens = status.code not in {PlaceCode.WAITING, PlaceCode.UNPROVEN}
        is_awaited = status.phase is Event.Phase.BEGUN and guest.checked_in_at is None
        key = (event.pk, known, guest.is_on_list, opens, is_awaited)
        if key not in self.contexts:
            self.contexts[key] = {
                **event_values(event),
                "ends_at": event.local_end,
                "is_reinstated": known.is_cancelled,
                "is_moved": present.is_moved_from(known),
                "is_renamed": present.is_renamed_from(known),
                "has_other_end": present.has_other_end_than(known),
                "old_title": known.title,
                "old_starts_at": known.appointment.starts_at,
                "old_venue": known.appointment.venue,
                "old_address": known.appointment.address,
                "old_ends_at": known.ends_at,
                "is_waiting": not guest.is_on_list,
                "has_code": opens,
                "is_awaited": is_awaited,
                "has_calendar": guest.is_on_list,
            }
        return self.contexts[key]

    def _cancelled(self, guest: Guest) -> EmailContent:
        has_code = guest.is_on_list and not guest.is_withheld
        key = (guest.event_id, guest.is_on_list, has_code)
        if key not in self.contexts:
            self.contexts[key] = {
                **event_values(guest.event),
                "is_waiting": not guest.is_on_list,
                "has_code": has_code,
                "has_calendar": guest.is_on_list,
            }
        return self._content(guest, CANCEL, self.contexts[key])

    def _content(self, guest: Guest, method: str, context: dict[str, Any]) -> EmailContent:
        return EmailContent(
            context,
            personal_texts(guest),
            attachments=self._calendar(guest, method),
            only_to=guest.account.email,
        )

    def _calendar(self, guest: Guest, method: str) -> Sequence[Attachment]:
        """Return the calendar file for a guest who has a place. It is built once for a batch."""
        if not guest.is_on_list:
            return ()
        key = (guest.event_id, method)
        if key not in self.attachments:
            self.attachments[key] = calendar_attachment(guest.event, method)
        return (self.attachments[key],)


def _may_have_arrived(email: Email) -> bool:
    if email.state == Email.State.QUEUED:
        return email.unsure_provider != ""
    return email.state in TOLD_STATES


def _is_placed(guest: Guest) -> bool:
    """Return whether a guest has, or may get, a place at an event that is not over."""
    if guest.state == Guest.State.CANCELLED or guest.is_leaving:
        return False
    if guest.event.ends_at <= guest.database_now:
        return False
    code = status_of(guest).code
    return code is PlaceCode.EVENT_CANCELLED or code in HELD_CODES


# Reminder ---------------------------------------------------------------------------------------


def night_of(event: Event) -> str:
    """Return the day on which an event begins, as YYYYMMDD. Its first hours are of the day before.

    An event that is moved within its night has the same one, so its reminder is not sent twice.
    """
    return f"{event.local_start - NIGHT_ENDS:%Y%m%d}"


@email_kind("reminder", _("Reminder the day before"), is_bulk=True)
def reminder(causes: Sequence[str]) -> Mapping[str, EmailContent]:
    """Remind guests who have a QR code of an event that has not begun."""
    contents = {}
    contexts: dict[int, dict[str, Any]] = {}
    for cause, (guest, rest) in _guests_of(causes).items():
        event = guest.event
        is_due = event.sends_reminder and event.phase(guest.database_now) is Event.Phase.UPCOMING
        if not is_due or not status_of(guest).shows_code or rest != [night_of(event)]:
            continue
        context = contexts.setdefault(event.pk, {**event_values(event), "has_code": True})
        contents[cause] = EmailContent(context, personal_texts(guest), only_to=guest.account.email)
    return contents


# A place to be proven -----------------------------------------------------------------------------


@email_kind("place_to_prove", _("A place that waits for a proof"))
def place_to_prove(causes: Sequence[str]) -> Mapping[str, EmailContent]:
    """Tell guests who got a place while they were away that the QR code needs one more step.

    The link proves the email of the account, and the QR email follows.
    """
    contents = {}
    contexts: dict[tuple[int, bool], dict[str, Any]] = {}
    for cause, (guest, _rest) in _guests_of(causes).items():
        if status_of(guest).code is not PlaceCode.UNPROVEN:
            continue
        account = guest.account
        query = urlencode({"proof": signature_for(account, "welcome")})
        key = (guest.event_id, guest.is_promoted)
        if key not in contexts:
            contexts[key] = {**event_values(guest.event), "from_waiting_list": guest.is_promoted}
        personal = {
            "first_name": account.first_name,
            "proof_url": f"{page_url('welcome_link', account.pk)}?{query}",
        }
        contents[cause] = EmailContent(contexts[key], personal, only_to=account.email)
    return contents


def _guests_of(causes: Iterable[str]) -> dict[str, tuple[Guest, list[str]]]:
    """Return guests by cause `guest:<id>/<listings>/…`, and the other parts. One query.

    A cause whose guest was given the place again since is left out.
    """
    parsed = {}
    for cause in causes:
        guest_id, listings, *rest = [*cause.removeprefix("guest:").split("/"), ""]
        parsed[cause] = (guest_id, listings, [part for part in rest if part])
    ids = {guest_id for guest_id, _listings, _rest in parsed.values()}
    guests = Guest.objects.with_place_details().in_bulk(ids)
    found = {}
    for cause, (guest_id, listings, rest) in parsed.items():
        guest = guests.get(int(guest_id))
        if guest is not None and str(guest.listings) == listings:
            found[cause] = (guest, rest)
    return found
