"""Any colour of an event has a shade for light mode and one for dark mode that can be read."""

import re
from itertools import product
from pathlib import Path

import pytest

from guests.event_values import colours_of
from guests.posters.palettes import NIGHT, PALETTES
from guests.posters.shades import (
    DARK_BACKGROUNDS,
    LIGHT_BACKGROUNDS,
    WHITE,
    bright_tint,
    contrast,
    deep_shade,
)

AA = 4.5
EMAILS = Path(__file__).resolve().parents[3] / "templates" / "emails"
ANY_COLOURS = [f"#{red}{green}{blue}" for red, green, blue in product(("00", "7f", "ff"), repeat=3)]


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ("#000000", "#ffffff", 21.0),
        ("#ffffff", "#ffffff", 1.0),
        ("#777777", "#ffffff", 4.48),
        ("#0000ff", "#ffffff", 8.59),
        ("#010101", "#000000", 1.006),
    ],
)
def test_contrast_is_that_of_wcag(one: str, other: str, expected: float) -> None:
    assert contrast(one, other) == pytest.approx(expected, abs=0.01)
    assert contrast(other, one) == contrast(one, other)


@pytest.mark.parametrize(
    "colour", [*ANY_COLOURS, *sorted({each for row in PALETTES for each in row})]
)
def test_text_can_be_read_in_and_on_the_shades_of_any_colour(colour: str) -> None:
    for background in (WHITE, *LIGHT_BACKGROUNDS):
        assert contrast(deep_shade(colour), background) >= AA
    for background in (NIGHT, *DARK_BACKGROUNDS):
        assert contrast(bright_tint(colour), background) >= AA


def test_a_colour_that_can_be_read_stays_as_it_is() -> None:
    assert deep_shade("#3a0ca3") == "#3a0ca3"
    assert bright_tint("#ffb703") == "#ffb703"
    assert deep_shade("#ffb703") != "#ffb703"
    assert bright_tint("#3a0ca3") != "#3a0ca3"


def test_the_colours_of_an_event_depend_on_its_slug() -> None:
    assert colours_of("sao-joao") == colours_of("sao-joao")
    assert len({colours_of(f"festa-{number}") for number in range(40)}) == len(PALETTES)


@pytest.mark.parametrize(
    ("sheet", "backgrounds"), [("_style.css", LIGHT_BACKGROUNDS), ("_dark.css", DARK_BACKGROUNDS)]
)
def test_the_style_sheets_of_emails_have_these_backgrounds(
    sheet: str, backgrounds: tuple[str, ...]
) -> None:
    """Text in the event's colour is on the card, on a panel, or outside of the card."""
    css = (EMAILS / sheet).read_text()
    for selector, background in zip((".card", ".panel", ".outside"), backgrounds, strict=True):
        found = re.search(rf"{re.escape(selector)} {{[^}}]*background-color: (#[0-9a-f]+)", css)
        assert found is not None
        assert found[1] == background
