"""What emails show of an event."""

import pytest
from django.test import Client
from PIL import Image
from pytest_django import Settings
from pytest_django.fixtures import DjangoAssertNumQueries

from guests.event_values import event_values, poster_url
from guests.models import Event
from guests.posters.sizes import delete_poster, store_poster
from tests.factories import make_event

pytestmark = pytest.mark.django_db


def test_it_has_what_the_templates_show_without_a_query(
    django_assert_num_queries: DjangoAssertNumQueries,
) -> None:
    event = make_event(title="Festa", address="Rua 1", time_zone="Atlantic/Azores")
    with django_assert_num_queries(0):
        values = event_values(event)
    assert values["event_title"] == "Festa"
    assert values["starts_at"] == event.starts_at
    assert str(values["starts_at"].tzinfo) == "Atlantic/Azores"
    assert values["event_url"] == f"http://localhost:8000/promo/{event.slug}/"
    assert values["poster_url"] == ""


@pytest.mark.parametrize(
    ("media_url", "host"),
    [
        ("/media/", "http://localhost:8000/media/"),
        ("https://cdn.example/m/", "https://cdn.example/m/"),
    ],
)
def test_the_address_of_a_poster_is_complete(settings: Settings, media_url: str, host: str) -> None:
    settings.MEDIA_URL = media_url
    event = Event(slug="festa", poster="posters/0123456789abcdef_800.jpg")
    assert poster_url(event) == f"{host}posters/0123456789abcdef_800-360.jpg"
    event.poster = "posters/0123456789abcdef_200.jpg"
    assert poster_url(event) == f"{host}posters/0123456789abcdef_200-200.jpg"
    event.poster = "posters/from-before.png"
    assert poster_url(event) == ""


def test_a_mailbox_in_a_browser_may_show_the_poster(client: Client) -> None:
    """Browsers block an image that another site embeds unless it allows that."""
    name = store_poster(Image.new("RGB", (800, 1000), "red"))
    response = client.get(poster_url(Event(slug="festa", poster=name)))
    assert response.status_code == 200
    assert response["Content-Type"] == "image/jpeg"
    assert response["Cross-Origin-Resource-Policy"] == "cross-origin"
    assert b"".join(response).startswith(b"\xff\xd8")
    delete_poster(name)
