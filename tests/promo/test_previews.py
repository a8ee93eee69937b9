"""Links to events in chats and search engines: title, date, place and image."""

import json
import re
from collections.abc import Iterator
from html import unescape
from html.parser import HTMLParser
from typing import cast

import pytest
from django.conf import settings
from django.core.files.storage import default_storage
from django.http import FileResponse
from django.test import Client
from django.utils import timezone
from PIL import Image

from guests.models import Event
from guests.posters.sizes import store_poster
from tests.factories import make_event, make_event_promoter
from tests.helpers.events import past_event
from tests.helpers.images import stored_image

pytestmark = pytest.mark.django_db
SITE = settings.PUBLIC_URL


class Head(HTMLParser):
    """The tags of a page's head: `meta` by name or property, `link` by relation, JSON-LD."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.meta: dict[str, str] = {}
        self.links: dict[str, str] = {}
        self.feed(html)
        data = re.search(r'<script type="application/ld\+json">(.*?)</script>', html, re.DOTALL)
        self.event = json.loads(data[1]) if data else {}

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        if tag == "meta":
            name = values.get("property") or values.get("name", "")
            self.meta[name] = values.get("content", "")
        if tag == "link":
            self.links[values.get("rel", "")] = values.get("href", "")


def head_of(path: str, **headers: str) -> Head:
    response = Client(headers=headers).get(path)
    assert response.status_code == 200
    return Head(response.content.decode())


def test_a_promo_link_names_event_time_place_and_promoter() -> None:
    event = make_event(title="Noite & Dia", time_zone="Atlantic/Azores")
    promoter = make_event_promoter(event).promoter
    head = head_of(f"/promo/{event.slug}/{promoter.code}/")
    assert head.meta["og:title"] == "Noite & Dia"
    local = event.local_start
    for text in (f"{local:%H:%M} (Atlantic/Azores)", event.venue, f"Convite de {promoter.name}."):
        assert text in head.meta["og:description"]
    assert head.meta["description"] == head.meta["og:description"]
    assert head.meta["og:locale"] == "pt_PT"
    assert head.meta["og:url"] == f"{SITE}/promo/{event.slug}/{promoter.code}/"
    assert head.links["canonical"] == f"{SITE}/promo/{event.slug}/"
    assert head.meta["twitter:card"] == "summary_large_image"
    assert "robots" not in head.meta


def test_a_preview_is_in_the_language_of_the_page() -> None:
    event = make_event()
    promoter = make_event_promoter(event).promoter
    head = head_of(f"/promo/{event.slug}/{promoter.code}/", accept_language="en")
    assert f"{promoter.name} invites you." in head.meta["og:description"]
    assert head.meta["og:locale"] == "en_GB"
    assert f"/{event.pk}-en-" in head.meta["og:image"]


def test_a_cancelled_event_says_so_first() -> None:
    event = make_event(cancelled_at=timezone.now())
    head = head_of(f"/promo/{event.slug}/")
    assert head.meta["og:title"] == f"Cancelado: {event.title}"
    assert head.meta["og:description"].startswith("Este evento foi cancelado.")
    assert head.event["eventStatus"] == "https://schema.org/EventCancelled"


def test_an_event_that_is_over_says_so_first() -> None:
    event = past_event()
    promoter = make_event_promoter(event).promoter
    about = head_of(f"/promo/{event.slug}/{promoter.code}/").meta["og:description"]
    assert about.startswith("Este evento já acabou.")
    assert promoter.name not in about


def test_search_engines_read_the_event_as_data() -> None:
    event = make_event(title="</script><b>X", address="Rua Exemplo 1")
    data = head_of(f"/promo/{event.slug}/").event
    assert data["name"] == "</script><b>X"
    assert data["startDate"] == event.local_start.isoformat()
    assert data["location"] == {
        "@type": "Place",
        "name": event.venue,
        "address": "Rua Exemplo 1",
    }
    assert data["eventStatus"] == "https://schema.org/EventScheduled"


@pytest.mark.parametrize("description", ['"><script>x', "a\n\nb", "x" * 2000])
def test_a_description_is_short_and_escaped(description: str) -> None:
    event = make_event(description=description)
    text = unescape(head_of(f"/promo/{event.slug}/").meta["og:description"])
    assert len(text) <= 200
    assert "\n" not in text


def test_a_step_previews_its_event_and_is_not_indexed() -> None:
    """The browser's address is that of a step, so it is what some people share."""
    event = make_event()
    head = head_of(f"/promo/{event.slug}/-/phone/")
    assert head.meta["og:title"] == event.title
    assert head.meta["robots"] == "noindex, nofollow"


def test_the_page_of_all_events_has_a_preview(client: Client) -> None:
    head = head_of("/promo/")
    assert head.meta["og:title"]
    assert head.meta["description"] == head.meta["og:description"]
    assert head.links["canonical"] == head.meta["og:url"] == f"{SITE}/promo/"
    assert re.fullmatch(rf"{SITE}/static/img/preview\S*\.jpg", head.meta["og:image"])


@pytest.mark.parametrize("path", ["/promo/unknown/", "/guest/unknown"])
def test_every_page_has_a_description(client: Client, path: str) -> None:
    assert Head(client.get(path).content.decode()).meta["description"]


def image_path(event: Event) -> str:
    address = head_of(f"/promo/{event.slug}/").meta["og:image"]
    assert address.startswith(f"{SITE}/media/previews/")
    return address.removeprefix(SITE)


def load(client: Client, path: str) -> FileResponse:
    """Load an image, and close its file."""
    response = cast("FileResponse", client.get(path))
    assert b"".join(cast("Iterator[bytes]", response.streaming_content))
    return response


def test_the_image_is_drawn_once_and_kept(client: Client) -> None:
    event = make_event(poster=store_poster(Image.new("RGB", (800, 1000), "red")))
    path = image_path(event)
    response = load(client, path)
    assert response.headers["Content-Type"] == "image/jpeg"
    assert "immutable" in response.headers["Cache-Control"]
    assert response.headers["Cross-Origin-Resource-Policy"] == "cross-origin"
    name = path.removeprefix("/media/")
    image = stored_image(name)
    assert image.size == (1200, 630)
    assert default_storage.size(name) < 300_000
    right = image.getpixel((1100, 300))
    assert isinstance(right, tuple)
    assert right[0] > 240
    event.delete()
    assert load(client, path).status_code == 200


def test_an_image_that_is_no_longer_true_leads_to_the_present_one(client: Client) -> None:
    event = make_event()
    before = image_path(event)
    load(client, before)
    for change in ({"title": "Outra"}, {"venue": "Outra"}, {"cancelled_at": timezone.now()}):
        Event.objects.filter(pk=event.pk).update(**change)
        event.refresh_from_db()
        after = image_path(make_event_again(event))
        assert after != before
        before = after
    unknown = f"/media/previews/{event.pk}-pt-pt-{'0' * 16}.jpg"
    assert client.get(unknown).headers["Location"] == before


def make_event_again(event: Event) -> Event:
    """Move an event to another address, since pages of links are cached for a second."""
    event.slug = f"{event.slug}-x"
    event.save(update_fields=["slug"])
    return event


@pytest.mark.parametrize(
    "name", ["1-pt-pt-0123456789abcdef.jpg", "1-xx-0123456789abcdef.jpg", "x", "1-en-1.jpg"]
)
def test_other_names_are_unknown(client: Client, name: str) -> None:
    make_event(pk=2)
    assert client.get(f"/media/previews/{name}").status_code == 404


def test_an_unpublished_event_has_no_image(client: Client) -> None:
    event = make_event()
    path = image_path(event)
    Event.objects.update(is_published=False)
    assert client.get(path).status_code == 404


def test_a_lost_poster_leaves_the_colours_of_the_event(client: Client) -> None:
    event = make_event(poster="posters/0123456789abcdef_800.jpg")
    assert load(client, image_path(event)).status_code == 200
