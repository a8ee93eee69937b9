"""Posters on pages: the sizes a browser chooses from, and what is loaded first."""

import re

import pytest
from django.test import Client
from PIL import Image

from guests.posters.sizes import PosterSizes, store_poster
from tests.factories import make_event

pytestmark = pytest.mark.django_db


def images_of(client: Client, path: str) -> list[dict[str, str]]:
    """Return the attributes of each poster on a page."""
    html = client.get(path).content.decode()
    tags = re.findall(r'<img class="poster"(.*?)>', html)
    return [dict(re.findall(r'([\w-]+)="(.*?)"', tag)) for tag in tags]


def test_a_browser_chooses_between_sizes_and_formats(client: Client) -> None:
    poster = PosterSizes.of(store_poster(Image.new("RGB", (1000, 1250))))
    assert poster is not None
    event = make_event(poster=poster.names[0])
    html = client.get(f"/promo/{event.slug}/").content.decode()
    for extension in ("avif", "jpg"):
        sizes = [f"/media/{poster.name(width, extension)} {width}w" for width in (360, 720, 1000)]
        assert f'srcset="{", ".join(sizes)}"' in html
    assert f'src="/media/{poster.name(720, "jpg")}"' in html


def test_a_poster_has_its_place_before_it_is_loaded(client: Client) -> None:
    """The first poster is asked for at once, the others when they come near the screen."""
    for _ in range(3):
        make_event(poster=store_poster(Image.new("RGB", (40, 50))))
    images = images_of(client, "/promo/")
    assert [(image["width"], image["height"]) for image in images] == [("40", "50")] * 3
    assert [image.get("fetchpriority") for image in images] == ["high", None, None]
    assert [image.get("loading") for image in images] == [None, "lazy", "lazy"]


def test_a_poster_of_an_earlier_release_is_shown_as_it_is(client: Client) -> None:
    event = make_event(poster="posters/earlier.jpg")
    (image,) = images_of(client, f"/promo/{event.slug}/")
    assert image["src"] == "/media/posters/earlier.jpg"
    assert "srcset" not in image
