"""The calendar file of an event."""

import pytest
from django.test import Client
from icalendar import Calendar

from tests.factories import make_event

pytestmark = pytest.mark.django_db


def test_the_calendar_file_says_when_and_where() -> None:
    event = make_event(
        title="Festa; com, sinais\\", address="Rua 1, Lisboa", time_zone="Atlantic/Azores"
    )
    response = Client().get(f"/promo/{event.slug}/calendar.ics")
    assert response["Content-Type"].startswith("text/calendar")
    assert f'filename="{event.slug}.ics"' in response["Content-Disposition"]
    calendar = Calendar.from_ical(response.content)
    (entry,) = calendar.walk("VEVENT")
    assert entry["summary"] == event.title
    assert entry["location"] == "Sala Exemplo, Rua 1, Lisboa"
    start = entry.decoded("dtstart")
    assert start == event.starts_at.replace(microsecond=0)
    assert start.utcoffset() == event.local_start.utcoffset()
    assert entry.decoded("dtend") == event.ends_at.replace(microsecond=0)
    assert str(entry["url"]).endswith(f"/promo/{event.slug}/")
