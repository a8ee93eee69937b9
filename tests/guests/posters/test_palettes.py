"""The palettes of events are those of the style sheet."""

import re

from django.conf import settings

from guests.posters.palettes import NIGHT, PALETTES, colour_of, palette_number


def test_the_style_sheet_has_the_same_colours() -> None:
    css = (settings.BASE_DIR / "static" / "css" / "base.css").read_text()
    rule = r"\.poster-(\d) \{ --one: (#\w{6}); --two: (#\w{6}); --three: (#\w{6}); \}"
    found = {int(number): tuple(colours) for number, *colours in re.findall(rule, css)}
    assert found == {number: tuple(palette) for number, palette in enumerate(PALETTES)}
    assert f"    {NIGHT};" in css


def test_events_have_different_palettes_and_keep_theirs() -> None:
    numbers = [palette_number(f"event-{number}") for number in range(100)]
    assert set(numbers) == set(range(len(PALETTES)))
    assert colour_of("event-1") == PALETTES[numbers[1]].two
