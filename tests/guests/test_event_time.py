"""The template tags for the local time of an event."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from django.template import Context, Template
from django.utils import timezone, translation

from guests.templatetags.event_time import plain_event_time

STARTS_AT = datetime(2026, 7, 3, 22, 30, tzinfo=UTC)


def event_time(arguments: str, zone: str) -> str:
    local_time = STARTS_AT.astimezone(ZoneInfo(zone))
    template = Template("{% load event_time %}{% event_time local_time " + arguments + " %}")
    with translation.override("en"), timezone.override("Europe/Lisbon"):
        return template.render(Context({"local_time": local_time}))


def test_it_shows_the_events_own_time_and_not_the_current_zones() -> None:
    assert event_time('"D j M"', "Asia/Kolkata") == (
        '<time datetime="2026-07-04T04:00:00+05:30">Sat 4 Jul, 04:00</time>'
    )


def test_it_shows_the_zone_only_when_it_is_not_the_current_one() -> None:
    away = event_time('"D j M" show_zone=True', "Asia/Kolkata")
    assert away.endswith('</time> <span class="zone">(Asia/Kolkata)</span>')
    assert event_time('"D j M" show_zone=True', "Europe/Lisbon").endswith("</time>")
    assert event_time('"D j M"', "Asia/Kolkata").endswith("</time>")


def test_the_plain_text_has_a_day_in_several_formats_and_the_time() -> None:
    local_time = STARTS_AT.astimezone(ZoneInfo("Asia/Kolkata"))
    with translation.override("pt"), timezone.override("Europe/Lisbon"):
        text = plain_event_time(local_time, "l", "DATE_FORMAT")
    assert (text.day, text.time) == ("sábado, 4 de julho de 2026", "04:00")
