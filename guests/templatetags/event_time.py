"""The `{% event_time %}` template tag."""

from datetime import datetime

from django import template
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.html import format_html
from django.utils.safestring import SafeString

register = template.Library()


@register.simple_tag
def event_time(local_time: datetime, day_format: str, *, show_zone: bool = False) -> SafeString:
    """Return a `<time>` element with the day and the time of an event.

    `local_time` is in the time zone of the event, such as `event.local_start`, and is not converted
    to the current time zone. `day_format` is a date format such as "l j F". With `show_zone`, the
    name of the zone follows when it is not the current one.
    """
    element = format_html(
        '<time datetime="{}">{}, {}</time>',
        local_time.isoformat(),
        date_format(local_time, day_format),
        date_format(local_time, "H:i"),
    )
    zone = str(local_time.tzinfo)
    if not show_zone or zone == timezone.get_current_timezone_name():
        return element
    return format_html('{} <span class="zone">({})</span>', element, zone)
