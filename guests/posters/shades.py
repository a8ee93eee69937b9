"""Shades of an event's colour on which, or in which, text can be read (WCAG 2.2, 1.4.3)."""

from functools import lru_cache

from guests.posters.palettes import NIGHT

WHITE = "#ffffff"
# The backgrounds of emails. templates/emails/_style.css and _dark.css have the same.
LIGHT_BACKGROUNDS = ("#fffdfa", "#f7efe4", "#f5efe8")
DARK_BACKGROUNDS = ("#1b1623", "#272030", "#0e0b13")
CONTRAST = 5.0  # AA asks for 4.5.
STEPS = 50


@lru_cache(maxsize=256)
def deep_shade(colour: str) -> str:
    """Return the colour as dark as text on light backgrounds needs. White text is read on it."""
    return _mixed_until_readable(colour, NIGHT, (WHITE, *LIGHT_BACKGROUNDS))


@lru_cache(maxsize=256)
def bright_tint(colour: str) -> str:
    """Return the colour as light as text on dark backgrounds needs. Dark text is read on it."""
    return _mixed_until_readable(colour, WHITE, (NIGHT, *DARK_BACKGROUNDS))


def contrast(one: str, other: str) -> float:
    """Return the contrast of two colours, from 1 to 21."""
    darker, lighter = sorted((_luminance(one), _luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


def _mixed_until_readable(colour: str, admixture: str, backgrounds: tuple[str, ...]) -> str:
    for step in range(STEPS + 1):
        mixed = _mix(colour, admixture, step / STEPS)
        if min(contrast(mixed, background) for background in backgrounds) >= CONTRAST:
            return mixed
    raise ValueError(f"{admixture} itself cannot be read on {backgrounds}.")


def _mix(colour: str, admixture: str, share: float) -> str:
    channels = [
        round(own + (added - own) * share)
        for own, added in zip(_channels(colour), _channels(admixture), strict=True)
    ]
    return "#" + bytes(channels).hex()


def _luminance(colour: str) -> float:
    red, green, blue = (_linear(channel / 255) for channel in _channels(colour))
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _linear(value: float) -> float:
    if value <= 0.04045:
        return value / 12.92
    luminance: float = ((value + 0.055) / 1.055) ** 2.4
    return luminance


def _channels(colour: str) -> bytes:
    return bytes.fromhex(colour.removeprefix("#"))
