"""The ten palettes of events. static/css/base.css has the same colours in its `.poster-N`."""

from typing import NamedTuple
from zlib import crc32


class Palette(NamedTuple):
    one: str
    two: str
    three: str


# Behind the three colours of a poster that is only a gradient.
NIGHT = "#160e1c"
PALETTES = (
    Palette("#ff6a3d", "#7b2ff7", "#f7b267"),
    Palette("#00c2a8", "#3d2bff", "#0a5c7a"),
    Palette("#ff2e7e", "#ff8a00", "#5a189a"),
    Palette("#2f80ed", "#c02fff", "#00d4ff"),
    Palette("#d7263d", "#f46036", "#2e294e"),
    Palette("#8ac926", "#1982c4", "#6a4c93"),
    Palette("#ffb703", "#fb3b5c", "#8338ec"),
    Palette("#06d6a0", "#118ab2", "#ef476f"),
    Palette("#b5179e", "#4361ee", "#f72585"),
    Palette("#f72585", "#3a0ca3", "#4cc9f0"),
)


def palette_number(slug: str) -> int:
    """Return the number of an event's palette.

    It depends on the slug, which is known before an event is saved for the first time.
    """
    return crc32(slug.encode()) % len(PALETTES)


def palette_of(slug: str) -> Palette:
    return PALETTES[palette_number(slug)]


def colour_of(slug: str) -> str:
    """Return the one colour of an event, such as `#7b2ff7`."""
    return palette_of(slug).two
