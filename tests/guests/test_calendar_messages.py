"""Calendar files in emails: kept, changed and removed by calendars, as other readers understand."""

import re
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from typing import Any

import pytest
from django.core.mail import get_connection
from django.utils import translation
from ical.calendar import Calendar
from ical.calendar_stream import IcsCalendarStream
from icalendar import Calendar as WrittenCalendar
from pytest_django import Settings

from accounts.models import User
from guests.calendars import CANCEL, PUBLISH, build_calendar, calendar_attachment
from guests.models import Event
from guests.requests.event_changes import cancel_event, reinstate_event
from notifications.messages import build_messages
from notifications.models import Email
from tests.factories import make_event, make_guest, with_database_time
from tests.helpers.calendar_files import read_file
from tests.helpers.clock_changes import CHANGES
from tests.helpers.event_news import announce_all, edit, note_sent
from tests.helpers.mail_servers import Sink, send_to

pytestmark = pytest.mark.django_db
HOUR = timedelta(hours=1)
HALF = timedelta(minutes=30)
CALENDAR = "text/calendar"
ODD_TEXTS = {
    "title": "Noite de São João, “à beira-rio”; 🎉 \\n " * 2,
    "venue": "Armazém, do: Cais; \\ " * 5,
    "address": 'Rua "do Ouro" 1; esq.',
}


def last_email(kind: str) -> Email:
    return Email.objects.filter(kind=kind).order_by("-pk")[0]


def attached(kind: str) -> bytes:
    """Return the calendar file of the last email of a kind."""
    email = last_email(kind)
    message: Any = build_messages([email])[email.pk]
    (part,) = [part for part in message.message().walk() if part.get_content_type() == CALENDAR]
    body = part.get_payload(decode=True)
    assert isinstance(body, bytes)
    assert part.get_param("method") == read_file(body).value("METHOD")
    return body


def second_reader(body: bytes) -> Calendar:
    return IcsCalendarStream.calendar_from_ics(body.decode())


def test_a_place_has_one_entry_through_all_its_changes(manager: User) -> None:
    guest = make_guest(make_event(title="Festa", venue="Sala", time_zone="Atlantic/Azores"))
    event = guest.event
    bodies = [attached("qr_code")]
    event = edit(event, manager, starts_at=event.starts_at + HOUR, venue="Praia")
    announce_all()
    bodies.append(attached("event_changed"))
    note_sent()
    cancel_event(with_database_time(event), acting_user=manager)
    announce_all()
    bodies.append(attached("event_cancelled"))
    note_sent()
    reinstate_event(with_database_time(event), acting_user=manager)
    announce_all()
    bodies.append(attached("event_changed"))
    methods, entries = [], []
    for body in bodies:
        calendar = second_reader(body)
        (entry,) = calendar.events
        methods.append(calendar.method)
        entries.append(entry)
    assert methods == ["PUBLISH", "PUBLISH", "CANCEL", "PUBLISH"]
    assert [entry.sequence for entry in entries] == [0, 1, 2, 3]
    statuses = [entry.status.value for entry in entries if entry.status]
    assert statuses == ["CONFIRMED", "CONFIRMED", "CANCELLED", "CONFIRMED"]
    assert len({entry.uid for entry in entries}) == 1
    assert len({str(entry.organizer) for entry in entries}) == 1
    stamps = [entry.dtstamp for entry in entries]
    assert stamps == sorted(stamps)
    assert "Praia" in str(entries[1].location)
    start = with_database_time(event).starts_at.replace(microsecond=0)
    assert {entry.start for entry in entries[1:]} == {start}


def test_the_download_has_the_same_entry_and_is_no_message() -> None:
    event = make_event()
    download = read_file(build_calendar(event, "https://snap.example/"))
    message = read_file(calendar_attachment(event, PUBLISH).content)
    (one,), (other,) = _events(download), _events(message)
    assert one.value("UID") == other.value("UID")
    assert download.value("METHOD") == ""
    assert not one.all("ORGANIZER")


def _events(calendar: Any) -> list[Any]:
    return [each for each in calendar.inside if each.name == "VEVENT"]


@pytest.mark.parametrize("method", ["", PUBLISH, CANCEL])
@pytest.mark.parametrize("language", ["pt-pt", "en"])
def test_files_are_strictly_valid_whatever_staff_write(method: str, language: str) -> None:
    event = make_event(**ODD_TEXTS, slug="x" * 60)
    if method == CANCEL:
        event.cancelled_at = event.starts_at
    with translation.override(language):
        body = build_calendar(event, f"https://snap.example/promo/{event.slug}/", method=method)
    (entry,) = _events(read_file(body))
    (read,) = second_reader(body).events
    assert str(read.summary).endswith(event.title)
    assert read.location == f"{event.venue}, {event.address}"
    assert re.fullmatch(r"event-\d+@[\w.-]+", entry.value("UID"))


@pytest.mark.parametrize(
    "sender", ["SNAP; Lda, <ola@snap.example>", "ola@snap.example", '"Noite: São João" <a@b.pt>']
)
def test_the_organizer_is_the_sender(settings: Settings, sender: str) -> None:
    settings.DEFAULT_FROM_EMAIL = sender
    body = calendar_attachment(make_event(), PUBLISH).content
    read_file(body)
    (entry,) = second_reader(body).events
    assert entry.organizer is not None
    assert str(entry.organizer.uri).removeprefix("mailto:") in sender


@pytest.mark.parametrize(("zone", "change"), CHANGES)
def test_two_other_readers_agree_around_a_change_of_clocks(zone: str, change: datetime) -> None:
    for steps in range(-4, 5):
        event = Event(
            pk=1,
            slug="festa",
            title="Festa",
            venue="Sala",
            time_zone=zone,
            starts_at=change + steps * HALF,
            ends_at=change + steps * HALF + 5 * HALF,
            list_opens_at=change,
        )
        body = build_calendar(event, "https://snap.example/", method=PUBLISH)
        read_file(body)
        (entry,) = second_reader(body).events
        assert entry.start_datetime.astimezone(UTC) == event.starts_at
        assert entry.end_datetime.astimezone(UTC) == event.ends_at
        (written,) = WrittenCalendar.from_ical(body).walk("VEVENT")
        assert written.decoded("dtstart") == event.starts_at


def test_the_file_is_built_again_after_each_change(manager: User) -> None:
    event = make_event(venue="Sala")
    first = calendar_attachment(event, PUBLISH)
    assert calendar_attachment(event, PUBLISH).content is first.content
    event = edit(event, manager, venue="Praia")
    assert b"Praia" in calendar_attachment(event, PUBLISH).content
    with translation.override("en"):
        assert b"Cancelled" in _cancelled(event)
    with translation.override("pt-pt"):
        assert b"Cancelado" in _cancelled(event)


def _cancelled(event: Event) -> bytes:
    event.cancelled_at = event.starts_at
    event.sequence += 1
    return calendar_attachment(event, CANCEL).content


def test_the_file_arrives_as_it_was_written(settings: Settings) -> None:
    guest = make_guest(make_event(**ODD_TEXTS))
    email = last_email("qr_code")
    message: Any = build_messages([email])[email.pk]
    server = Sink()
    send_to(settings, server)
    server.start()
    try:
        get_connection().send_messages([message])
    finally:
        server.stop()
    received: EmailMessage = server.messages[-1]
    (part,) = [part for part in received.walk() if part.get_content_type() == CALENDAR]
    body = part.get_payload(decode=True)
    assert isinstance(body, bytes)
    calendar = read_file(body)
    assert part.get_param("method") == calendar.value("METHOD") == "PUBLISH"
    assert part.get_content_charset() == "utf-8"
    assert part.get_content_disposition() == "attachment"
    assert part.get_filename() == f"{guest.event.slug}.ics"
    # It stands beside the text, so programs show it as a file.
    assert received.get_content_type() == "multipart/mixed"
    assert part in list(received.iter_parts())


# The strict reader ------------------------------------------------------------------------------

WRONG: dict[str, tuple[bytes, bytes]] = {
    "line ends": (b"\r\n", b"\n"),
    "long line": (b"SUMMARY:", b"SUMMARY:" + b"x" * 80),
    "no end": (b"END:VEVENT\r\n", b""),
    "comma": (b"SUMMARY:", b"SUMMARY:a, b"),
    "no uid": (b"UID:", b"X-UID:"),
    "two starts": (b"DTSTAMP:", b"DTSTART:20300101T000000Z\r\nDTSTAMP:"),
    "unknown zone": (b"TZID:Europe/Lisbon", b"TZID:Europe/Paris"),
    "no offset": (b"TZOFFSETTO:+0", b"TZOFFSETTO:0"),
    "local stamp": (b"00Z\r\nUID", b"00\r\nUID"),
    "status": (b"STATUS:CONFIRMED", b"STATUS:GONE"),
    "sequence": (b"SEQUENCE:0", b"SEQUENCE:one"),
    "invitation": (b"METHOD:PUBLISH", b"METHOD:REQUEST"),
    "not cancelled": (b"METHOD:PUBLISH", b"METHOD:CANCEL"),
    "no message": (b"METHOD:PUBLISH\r\n", b""),
    "no organizer": (b"ORGANIZER;", b"X-ORGANIZER;"),
    "attendee": (b"STATUS:", b"ATTENDEE:mailto:ana@example.com\r\nSTATUS:"),
    "two versions": (b"VERSION:2.0", b"VERSION:2.0\r\nVERSION:2.0"),
}


@pytest.mark.parametrize(("old", "new"), WRONG.values(), ids=WRONG)
def test_the_strict_reader_refuses_a_wrong_file(old: bytes, new: bytes) -> None:
    start = datetime(2030, 7, 1, 20, tzinfo=UTC)
    event = Event(
        pk=1,
        slug="festa",
        title="Festa",
        venue="Sala",
        time_zone="Europe/Lisbon",
        starts_at=start,
        ends_at=start + HOUR,
        list_opens_at=start,
    )
    body = build_calendar(event, "https://snap.example/", method=PUBLISH)
    read_file(body)
    wrong = body.replace(old, new)
    assert wrong != body
    with pytest.raises(AssertionError):
        read_file(wrong)
