"""What templates need to show the poster of an event."""

from django import template

from guests.models import Event
from guests.posters import palettes
from guests.posters.sizes import PosterSizes

register = template.Library()


@register.simple_tag
def poster_sizes(event: Event) -> PosterSizes | None:
    """Return the sizes of an event's poster, None without a poster or without sizes."""
    return PosterSizes.of(event.poster.name)


@register.filter
def palette_number(event: Event) -> int:
    """Return the number of the event's palette, for the class `poster-N`."""
    return palettes.palette_number(event.slug)
