"""The calendar file of an event, as a reader that knows only the file understands it."""

from datetime import UTC, datetime, timedelta
from io import StringIO
from typing import Any

import pytest
from dateutil.tz import tzical
from django.test import Client
from django.utils import timezone
from icalendar import Calendar

from guests.calendars import build_calendar
from guests.models import Event
from guests.requests.event_changes import cancel_event, reinstate_event
from tests.factories import make_event, make_staff
from tests.helpers.clock_changes import CHANGES

pytestmark = pytest.mark.django_db
HOUR = timedelta(hours=1)
HALF = timedelta(minutes=30)


def file_of(event: Event, language: str = "en") -> bytes:
    client = Client(headers={"accept-language": language})
    response = client.get(f"/promo/{event.slug}/calendar.ics")
    assert response["Content-Type"].startswith("text/calendar")
    assert f'filename="{event.slug}.ics"' in response["Content-Disposition"]
    return response.content


def entry_of(event: Event) -> Any:
    """Return the only entry of an event's file, once more read from the database."""
    (entry,) = Calendar.from_ical(file_of(Event.objects.get(pk=event.pk))).walk("VEVENT")
    return entry


def read_time(body: bytes, name: str) -> datetime:
    """Return a time of the entry in UTC, by dateutil and the time zone in the file alone."""
    lines = body.decode().replace("\r\n ", "").split("\r\n")
    (line,) = [line for line in lines[lines.index("BEGIN:VEVENT") :] if line.startswith(name)]
    given, _, value = line.partition(":")
    if value.endswith("Z"):
        return datetime.strptime(value, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    zone = tzical(StringIO("\n".join(lines))).get(given.partition("TZID=")[2])
    return datetime.strptime(value, "%Y%m%dT%H%M%S").replace(tzinfo=zone).astimezone(UTC)


def test_the_calendar_file_says_when_and_where() -> None:
    event = make_event(
        title="Festa; com, sinais\\", address="Rua 1, Lisboa", time_zone="Atlantic/Azores"
    )
    entry = entry_of(event)
    assert entry["summary"] == event.title
    assert entry["location"] == "Sala Exemplo, Rua 1, Lisboa"
    start = entry.decoded("dtstart")
    assert start == event.starts_at.replace(microsecond=0)
    assert start.utcoffset() == event.local_start.utcoffset()
    assert entry.decoded("dtend") == event.ends_at.replace(microsecond=0)
    assert str(entry["url"]).endswith(f"/promo/{event.slug}/")
    assert entry["status"] == "CONFIRMED"


def test_the_file_of_a_changed_event_replaces_the_earlier_one() -> None:
    event = make_event()
    first = entry_of(event)
    assert first["sequence"] == 0
    Event.objects.filter(pk=event.pk).update(starts_at=event.starts_at + HOUR, slug="outro-nome")
    second = entry_of(event)
    assert (second["uid"], second["sequence"]) == (first["uid"], 1)
    for name in ("last-modified", "dtstamp"):
        assert second.decoded(name) >= first.decoded(name)
        assert second.decoded(name).utcoffset() == timedelta()
    Event.objects.filter(pk=event.pk).update(capacity=99)
    assert entry_of(event)["sequence"] == 1


def test_two_events_have_two_ids() -> None:
    assert entry_of(make_event())["uid"] != entry_of(make_event())["uid"]


def test_the_file_of_a_cancelled_event_says_so_until_it_takes_place_again() -> None:
    event, staff = make_event(title="Festa"), make_staff()
    cancel_event(event, acting_user=staff)
    cancelled = entry_of(event)
    assert (cancelled["status"], cancelled["summary"]) == ("CANCELLED", "Cancelled: Festa")
    assert "SUMMARY:Cancelado: Festa" in file_of(event, "pt").decode()
    reinstate_event(event, acting_user=staff)
    again = entry_of(event)
    assert (again["status"], again["summary"], again["sequence"]) == ("CONFIRMED", "Festa", 2)


@pytest.mark.parametrize(("zone", "change"), CHANGES)
def test_times_around_a_change_of_clocks_are_read_as_they_are(zone: str, change: datetime) -> None:
    for steps in range(-8, 9):
        event = Event(
            pk=1,
            slug="festa",
            title="Festa",
            venue="Sala",
            time_zone=zone,
            starts_at=change + steps * HALF,
            ends_at=change + steps * HALF + 5 * HALF,
            list_opens_at=timezone.now(),
        )
        body = build_calendar(event, "https://snap.example/promo/festa/")
        assert read_time(body, "DTSTART") == event.starts_at
        assert read_time(body, "DTEND") == event.ends_at


@pytest.mark.parametrize("months", range(12))
def test_times_in_each_month_are_read_as_they_are_and_name_their_zone(months: int) -> None:
    starts_at = datetime(2031, months + 1, 15, 22, tzinfo=UTC)
    event = make_event(time_zone="Europe/Lisbon", starts_at=starts_at, ends_at=starts_at + 6 * HOUR)
    body = file_of(event)
    assert b"DTSTART;TZID=Europe/Lisbon:" in body
    assert (read_time(body, "DTSTART"), read_time(body, "DTEND")) == (starts_at, event.ends_at)


def test_long_and_odd_texts_are_folded_and_read_back() -> None:
    title = "Noite de São João, “à beira-rio”; 🎉 " * 3
    event = make_event(title=title, venue="Armazém " * 14, address="Rua 1\\2; esq." * 10)
    body = file_of(event)
    assert max(len(line) for line in body.split(b"\r\n")) <= 75
    entry = entry_of(event)
    assert entry["summary"] == title
    assert entry["location"] == f"{event.venue}, {event.address}"
