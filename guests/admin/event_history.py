"""The history of an event in admin: who changed what, when, from and to."""

from datetime import datetime

from django.db.models import DateTimeField
from django.utils.safestring import SafeString
from django.utils.text import Truncator, capfirst

from guests.models import Event, EventChange, EventNews
from guests.templatetags.event_time import plain_event_time
from notifications.kinds import kind_label
from snap.admin_output import EMPTY, MAX_SHOWN, actor_names, render_lines, render_time

MAX_LENGTH = 60  # the most characters that a value has here


def render_event_history(event: Event) -> SafeString | str:
    """Return the last changes of an event as lines, the latest first. Two queries."""
    changes = list(EventChange.objects.filter(event=event)[:MAX_SHOWN])
    names = actor_names(change.actor for change in changes)
    rows = []
    for change in changes:
        field = capfirst(str(Event._meta.get_field(change.field).verbose_name))  # type: ignore[union-attr]
        before = _shown(event, change.field, change.from_value)
        after = _shown(event, change.field, change.to_value)
        actor = names[change.actor]
        rows.append((render_time(change.at), field, before, after, actor))
    return render_lines("{} · {}: {} → {} · {}", rows) or EMPTY


def render_event_news(event: Event) -> SafeString | str:
    """Return when guests were told of changes by email, and how many, the latest first."""
    rows = []
    for news in EventNews.objects.filter(event=event)[:MAX_SHOWN]:
        kind = "event_changed"
        if news.state["cancelled_at"]:
            kind = "event_cancelled"
        rows.append((render_time(news.at), kind_label(kind), news.emails))
    return render_lines("{} · {}: {}", rows) or EMPTY


def _shown(event: Event, field: str, value: str) -> str:
    """Return a value as staff read it: times in the zone of the event, and long texts cut."""
    if not value:
        return EMPTY
    if isinstance(Event._meta.get_field(field), DateTimeField):
        local = datetime.fromisoformat(value).astimezone(event.zone)
        time = plain_event_time(local, "SHORT_DATE_FORMAT")
        return f"{time.day} {time.time} ({time.zone})"
    if value in {"true", "false"}:
        return "✓" if value == "true" else "✕"
    return Truncator(value).chars(MAX_LENGTH)
