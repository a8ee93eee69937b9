"""Calendar files of events."""

from icalendar import Calendar
from icalendar import Event as Entry

from guests.models import Event


def build_calendar(event: Event, url: str) -> bytes:
    """Return an iCalendar file (RFC 5545) with an event in its own time zone.

    `url` is the full URL of the event's page.
    """
    entry = Entry()
    entry.add("uid", f"{event.slug}@{url.split('/')[2]}")
    entry.add("summary", event.title)
    entry.add("location", ", ".join(filter(None, [event.venue, event.address])))
    entry.add("dtstamp", event.list_opens_at)
    entry.add("dtstart", event.local_start)
    entry.add("dtend", event.local_end)
    entry.add("url", url)
    calendar = Calendar()
    calendar.add("prodid", "-//SNAP//guest lists//PT")
    calendar.add("version", "2.0")
    calendar.add_component(entry)
    calendar.add_missing_timezones()
    body: bytes = calendar.to_ical()
    return body
