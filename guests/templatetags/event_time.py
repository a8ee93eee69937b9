"""The local time of an event, for pages, emails and admin."""

from datetime import datetime
from typing import NamedTuple

from django import template
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.html import format_html
from django.utils.safestring import SafeString

from guests.local_times import is_ambiguous

register = template.Library()


class EventTime(NamedTuple):
    """The day and the time of an event as plain text."""

    day: str
    time: str


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
    return EventTime(", ".join(days), time)


@register.simple_tag
def event_time(local_time: datetime, day_format: str, *, show_zone: bool = False) -> SafeString:
    """Return a `<time>` element with the text of `plain_event_time`.

    With `show_zone`, the name of the zone follows when it is not the current one.
    """
    text = plain_event_time(local_time, day_format)
    element = format_html(
        '<time datetime="{}">{}, {}</time>', local_time.isoformat(), text.day, text.time
    )
    zone = str(local_time.tzinfo)
    if not show_zone or zone == timezone.get_current_timezone_name():
        return element
    return format_html('{} <span class="zone">({})</span>', element, zone)
