"""The template tags for the local time of an event."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from django.template import Context, Template
from django.utils import timezone, translation

from guests.templatetags.event_time import plain_event_time

STARTS_AT = datetime(2026, 7, 3, 22, 30, tzinfo=UTC)


def event_time(zone: str) -> str:
    local_time = STARTS_AT.astimezone(ZoneInfo(zone))
    template = Template('{% load event_time %}{% event_time local_time "D j M" %}')
    with translation.override("en"), timezone.override("Europe/Lisbon"):
        return template.render(Context({"local_time": local_time}))


def test_it_shows_the_events_own_time_and_names_its_zone() -> None:
    assert event_time("Asia/Kolkata") == (
        '<time datetime="2026-07-04T04:00:00+05:30">Sat 4 Jul, 04:00</time>'
        ' <span class="zone">(Asia/Kolkata)</span>'
    )


def test_it_names_the_current_zone_too_because_pages_are_read_anywhere() -> None:
    assert event_time("Europe/Lisbon").endswith(' <span class="zone">(Europe/Lisbon)</span>')


def test_the_plain_text_has_a_day_in_several_formats_and_the_time() -> None:
    local_time = STARTS_AT.astimezone(ZoneInfo("Asia/Kolkata"))
    with translation.override("pt"), timezone.override("Europe/Lisbon"):
        text = plain_event_time(local_time, "l", "DATE_FORMAT")
    assert text == ("sábado, 4 de julho de 2026", "04:00", "Asia/Kolkata")


@pytest.mark.parametrize(("hour", "shown"), [(0, "01:30 WEST"), (1, "01:30 WET")])
def test_a_time_that_comes_twice_says_which_of_the_two_it_is(hour: int, shown: str) -> None:
    moment = datetime(2030, 10, 27, hour, 30, tzinfo=UTC)
    local_time = moment.astimezone(ZoneInfo("Europe/Lisbon"))
    assert plain_event_time(local_time, "j F").time == shown
