"""The local time of an event, for pages, emails and admin."""

from datetime import datetime
from typing import NamedTuple

from django import template
from django.utils.formats import date_format
from django.utils.html import format_html
from django.utils.safestring import SafeString

from guests.local_times import is_ambiguous

register = template.Library()


class EventTime(NamedTuple):
    """The day and the time of an event as plain text, and the name of its time zone.

    Pages, emails and images are read anywhere, so they name the zone beside the time.
    """

    day: str
    time: str
    zone: str


@register.simple_tag
def plain_event_time(local_time: datetime, *day_formats: str) -> EventTime:
    """Return the day, in each of the formats, and the time of an event as plain text.

    In the hour that comes twice when clocks go back, the abbreviation of the zone's time tells the
    two apart: "01:30 WEST".

    `local_time` is in the time zone of the event, such as `event.local_start`, and is not converted
    to the current time zone. A format is one of dates, such as "l j F" or "DATE_FORMAT".
    """
    days = [date_format(local_time, day_format) for day_format in day_formats]
    time = date_format(local_time, "H:i")
    if is_ambiguous(local_time):
        time = f"{time} {local_time.tzname()}"
    return EventTime(", ".join(days), time, str(local_time.tzinfo))


@register.simple_tag
def event_time(local_time: datetime, day_format: str) -> SafeString:
    """Return a `<time>` element with the text of `plain_event_time`, and the name of the zone."""
    text = plain_event_time(local_time, day_format)
    return format_html(
        '<time datetime="{}">{}, {}</time> <span class="zone">({})</span>',
        local_time.isoformat(),
        text.day,
        text.time,
        text.zone,
    )
