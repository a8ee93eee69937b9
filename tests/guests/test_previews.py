"""The images of link previews: any title is drawn, inside its margins, in few bytes."""

import random

import pytest
from PIL import Image

from guests.posters.palettes import PALETTES, palette_number
from guests.posters.sizes import encode_jpeg
from guests.previews import QUALITY, PreviewText, draw_preview

WHEN = "Sexta-feira, 4 de dezembro, 23:00 (Europe/Lisbon)"
TITLES = [
    "Baile",
    "🎉 Festa 🎉",
    "漢字",
    "حفلة الليلة في لشبونة",
    "M" * 120,
    "Noite de Abertura " * 6,
]


def noise() -> Image.Image:
    small = Image.frombytes("RGB", (504, 630), random.Random(1).randbytes(504 * 630 * 3))
    return small.resize((504, 630))


@pytest.mark.parametrize("title", TITLES)
@pytest.mark.parametrize("cancelled", ["", "Cancelado"])
@pytest.mark.parametrize("poster", [None, Image.new("RGB", (400, 500), "blue")])
def test_every_title_is_drawn_inside_the_margins(
    title: str, cancelled: str, poster: Image.Image | None
) -> None:
    text = PreviewText(title, WHEN, "Uma sala com um nome comprido " * 4, cancelled)
    empty = draw_preview(PreviewText("", "", "", ""), "x", poster)
    image = draw_preview(text, "x", poster)
    assert image.size == (1200, 630)
    right = 1200 if poster is None else 696
    for margin in ((0, 0, 56, 630), (0, 574, right, 630), (right - 56, 0, right, 630)):
        assert image.crop(margin) == empty.crop(margin)
    assert image != empty
    assert len(encode_jpeg(image, QUALITY)) < 200_000


def test_the_image_of_a_noisy_poster_is_under_300_kilobytes() -> None:
    image = draw_preview(PreviewText("Baile", WHEN, "Cave 27", ""), "x", noise())
    assert len(encode_jpeg(image, QUALITY)) < 300_000


def test_an_event_has_the_colours_of_its_palette() -> None:
    slugs = {palette_number(str(number)): str(number) for number in range(100)}
    text = PreviewText("", "", "", "")
    grounds = {draw_preview(text, slug, None).tobytes() for slug in slugs.values()}
    assert len(grounds) == len(PALETTES)
