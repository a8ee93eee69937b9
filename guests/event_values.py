"""What emails show of an event: the values of templates/emails/_event_base.html."""

from typing import Any, NamedTuple
from urllib.parse import urljoin

from django.conf import settings
from django.core.files.storage import default_storage

from guests.models import Event
from guests.posters.palettes import palette_of
from guests.posters.shades import bright_tint, deep_shade
from guests.posters.sizes import PosterSizes
from snap.pages import page_url


class EventColours(NamedTuple):
    """The colours of an event in emails. `deep` is for light mode, and `bright` for dark mode."""

    deep: str
    bright: str
    accent: str


def colours_of(slug: str) -> EventColours:
    palette = palette_of(slug)
    return EventColours(deep_shade(palette.two), bright_tint(palette.two), palette.one)


def event_values(event: Event) -> dict[str, Any]:
    """Return the values of an event for the context of an email. No query."""
    return {
        "event_title": event.title,
        "venue": event.venue,
        "address": event.address,
        "starts_at": event.local_start,
        "colours": colours_of(event.slug),
        "poster_url": poster_url(event),
        "event_url": page_url("event", event.slug),
    }


def poster_url(event: Event) -> str:
    """Return the full address of the smallest JPEG of an event's poster, "" without one."""
    sizes = PosterSizes.of(event.poster.name)
    if sizes is None:
        return ""
    url = default_storage.url(sizes.name(sizes.widths[0], "jpg"))
    return urljoin(f"{settings.PUBLIC_URL}/", url)
