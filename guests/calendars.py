"""Calendar files of events."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import parseaddr
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from django.conf import settings
from django.utils.translation import get_language
from django.utils.translation import gettext as _
from icalendar import Calendar, Timezone, TimezoneDaylight, TimezoneStandard, vCalAddress
from icalendar import Event as Entry

from guests.local_times import is_ambiguous
from guests.models import Event
from notifications.kinds import Attachment
from snap.local_cache import LocalCache
from snap.mail_addresses import ascii_address
from snap.pages import page_url

# The part of a zone's history that a file has: the changes of its clocks around the event.
AROUND = timedelta(days=400)
MINUTE = timedelta(minutes=1)


# What a calendar does with a file that came by email (RFC 5546): keep the event, or remove it.
PUBLISH, CANCEL = "PUBLISH", "CANCEL"


# Files of this process by event, revision, method and language. Building one takes 5 ms.
_files: LocalCache[tuple[int, int, datetime | None, str, str], bytes] = LocalCache(
    size=200, seconds=lambda: 600
)


def calendar_attachment(event: Event, method: str) -> Attachment:
    """Return the calendar file of an event for an email, in the active language."""
    key = (event.pk, event.sequence, event.changed_at, method, get_language() or "")
    body = _files.get(key)
    if body is None:
        body = build_calendar(event, page_url("event", event.slug), method=method)
        _files.set(key, body)
    return Attachment(f"{event.slug}.ics", body, f"text/calendar; charset=utf-8; method={method}")


def build_calendar(event: Event, url: str, *, method: str = "") -> bytes:
    """Return an iCalendar file (RFC 5545) with an event in its own time zone.

    `url` is the full URL of the event's page. A calendar that has an earlier file of the event
    replaces it, because the UID stays and SEQUENCE grows. A file for an email has a METHOD and an
    organizer, which RFC 5546 asks for; a download has neither, since it is no message. No file has
    attendees, so no calendar asks its owner for an answer.
    """
    changed_at = event.changed_at or event.list_opens_at
    entry = Entry()
    entry.add("uid", f"event-{event.pk}@{urlsplit(settings.PUBLIC_URL).hostname}")
    entry.add("sequence", event.sequence)
    entry.add("dtstamp", changed_at)
    entry.add("last-modified", changed_at)
    is_cancelled = event.cancelled_at is not None or method == CANCEL
    entry.add("status", "CANCELLED" if is_cancelled else "CONFIRMED")
    entry.add("summary", _summary(event, is_cancelled=is_cancelled))
    entry.add("location", ", ".join(filter(None, [event.venue, event.address])))
    entry.add("url", url)
    calendar = Calendar()
    calendar.add("prodid", "-//SNAP//guest lists//PT")
    calendar.add("version", "2.0")
    if method:
        calendar.add("method", method)
        entry.add("organizer", _organizer())
    if is_ambiguous(event.local_start) or is_ambiguous(event.local_end):
        # A local time that a clock shows twice cannot be written: RFC 5545 knows only the first.
        entry.add("dtstart", event.starts_at.astimezone(UTC))
        entry.add("dtend", event.ends_at.astimezone(UTC))
    else:
        entry.add("dtstart", event.local_start)
        entry.add("dtend", event.local_end)
        calendar.add_component(_build_time_zone(event))
    calendar.add_component(entry)
    body: bytes = calendar.to_ical()
    return body


def _summary(event: Event, *, is_cancelled: bool) -> str:
    """Return the title. Many calendars show no status, so it says that the event was cancelled."""
    if is_cancelled:
        return _("Cancelled: %(title)s") % {"title": event.title}
    return event.title


def _organizer() -> vCalAddress:
    """Return the sender of emails, the same in all files: a calendar compares it."""
    name, address = parseaddr(settings.DEFAULT_FROM_EMAIL)
    organizer = vCalAddress(f"mailto:{ascii_address(address)}")
    if name:
        organizer.params["CN"] = name
    return organizer


def _build_time_zone(event: Event) -> Timezone:
    """Return the event's zone, with each change of its clocks in AROUND before and after."""
    zone = event.zone
    begins = event.starts_at.astimezone(UTC).replace(minute=0, second=0, microsecond=0) - AROUND
    time_zone = Timezone()
    time_zone.add("tzid", event.time_zone)
    offset = _offset(begins, zone)
    time_zone.add_component(_build_observance(begins, offset, zone))
    for change in _clock_changes(begins, event.ends_at + AROUND, zone):
        time_zone.add_component(_build_observance(change, offset, zone))
        offset = _offset(change, zone)
    return time_zone


def _build_observance(
    begins: datetime, offset_before: timedelta, zone: ZoneInfo
) -> TimezoneStandard | TimezoneDaylight:
    """Return the part of a zone that begins at a time. It is written in the clock before it."""
    local = begins.astimezone(zone)
    observance = TimezoneDaylight() if local.dst() else TimezoneStandard()
    observance.add("dtstart", begins.replace(tzinfo=None) + offset_before)
    observance.add("tzoffsetfrom", offset_before)
    observance.add("tzoffsetto", _offset(begins, zone))
    observance.add("tzname", local.tzname())
    return observance


def _clock_changes(begins: datetime, ends: datetime, zone: ZoneInfo) -> Iterator[datetime]:
    """Yield the times at which a zone's offset changes, to the minute."""
    day = timedelta(days=1)
    while begins < ends:
        if _offset(begins, zone) != _offset(begins + day, zone):
            yield _find_change(begins, zone)
        begins += day


def _find_change(begins: datetime, zone: ZoneInfo) -> datetime:
    """Return the minute within a day at which a zone's offset changes."""
    before = _offset(begins, zone)
    first, last = 0, 24 * 60
    while last - first > 1:
        middle = (first + last) // 2
        if _offset(begins + middle * MINUTE, zone) == before:
            first = middle
        else:
            last = middle
    return begins + last * MINUTE


def _offset(time: datetime, zone: ZoneInfo) -> timedelta:
    return time.astimezone(zone).utcoffset() or timedelta()
