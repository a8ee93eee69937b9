"""The sizes of a poster: small enough for phones, stored together and deleted together."""

import os
import random
from io import BytesIO

import pytest
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.core.management import call_command
from django.test import Client
from PIL import Image

from accounts.models import User
from guests.models import Event
from guests.posters import sizes
from guests.posters.palettes import colour_of
from guests.posters.sizes import PosterSizes, crop, delete_poster, store_poster
from tests.factories import make_event
from tests.helpers.admin import change_event
from tests.helpers.images import files_of, image_bytes, stored_bytes, stored_image, upload

pytestmark = pytest.mark.django_db


def noise(size: tuple[int, int]) -> Image.Image:
    """Return an image that no format makes small."""
    return Image.frombytes("RGB", size, random.Random(1).randbytes(size[0] * size[1] * 3))


def test_each_size_has_two_formats_and_four_by_five() -> None:
    name = store_poster(Image.new("RGB", (1200, 2000), "red"))
    assert name.endswith("_1200.jpg")
    found = {}
    for each in files_of(name)[1:]:
        image = stored_image(each)
        found[each.rpartition("-")[2]] = (image.format, image.size)
    assert found == {
        "360.avif": ("AVIF", (360, 450)),
        "360.jpg": ("JPEG", (360, 450)),
        "720.avif": ("AVIF", (720, 900)),
        "720.jpg": ("JPEG", (720, 900)),
        "1080.avif": ("AVIF", (1080, 1350)),
        "1080.jpg": ("JPEG", (1080, 1350)),
    }


@pytest.mark.parametrize(
    ("size", "widths"),
    [
        ((1, 1), [1]),
        ((2000, 1), [1]),
        ((1, 2000), [1]),
        ((300, 375), [300]),
        ((360, 450), [360]),
        ((2000, 1000), [360, 720, 800]),
        ((2000, 2000), [360, 720, 1080]),
    ],
)
def test_nothing_is_enlarged(size: tuple[int, int], widths: list[int]) -> None:
    name = store_poster(Image.new("RGB", size, "red"))
    poster = PosterSizes.of(name)
    assert poster is not None
    assert poster.widths == widths
    assert all(default_storage.exists(each) for each in poster.names)


def test_noise_fits_the_bytes_of_a_phone_as_well() -> None:
    name = store_poster(noise((720, 900)))
    small, large = (stored_bytes(each) for each in files_of(name) if each.endswith(".avif"))
    assert len(small) <= sizes.AVIF_BYTES[360]
    assert len(large) <= sizes.AVIF_BYTES[720]


def test_pages_show_the_middle_of_a_wide_image_and_the_top_of_a_high_one() -> None:
    wide = Image.new("RGB", (400, 100), "blue")
    wide.paste("red", (150, 0, 250, 100))
    assert crop(wide).size == (80, 100)
    assert crop(wide).getcolors() == [(8000, (255, 0, 0))]
    high = Image.new("RGB", (100, 400), "blue")
    high.paste("red", (0, 0, 100, 125))
    assert crop(high).size == (100, 125)
    assert crop(high).getcolors() == [(12500, (255, 0, 0))]


def test_a_poster_is_deleted_with_all_its_sizes() -> None:
    name = store_poster(Image.new("RGB", (400, 500), "red"))
    files = files_of(name)
    assert len(files) == 5
    delete_poster(name)
    assert [each for each in files if default_storage.exists(each)] == []


def event_with_poster(client: Client, manager: User) -> Event:
    client.force_login(manager)
    event = make_event()
    assert change_event(client, event, poster=upload(image_bytes())).status_code == 302
    event.refresh_from_db()
    return event


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("change", ["replace", "clear", "delete", "delete several"])
def test_a_poster_that_no_event_uses_any_more_is_deleted(
    client: Client, manager: User, change: str
) -> None:
    event = event_with_poster(client, manager)
    files = files_of(event.poster.name)
    assert all(default_storage.exists(each) for each in files)
    changes = f"/admin/guests/event/{event.pk}"
    if change == "replace":
        change_event(client, event, poster=upload(image_bytes()))
        event.refresh_from_db()
        assert all(default_storage.exists(each) for each in files_of(event.poster.name))
    elif change == "clear":
        change_event(client, event, **{"poster-clear": "on"})
    elif change == "delete":
        client.post(f"{changes}/delete/", {"post": "yes"})
    else:
        data = {"action": "delete_selected", "_selected_action": [event.pk], "post": "yes"}
        client.post("/admin/guests/event/", data)
    assert [each for each in files if default_storage.exists(each)] == []


@pytest.mark.django_db(transaction=True)
def test_a_poster_of_two_events_stays_with_the_other(client: Client, manager: User) -> None:
    event = event_with_poster(client, manager)
    other = make_event(poster=event.poster.name)
    change_event(client, event, **{"poster-clear": "on"})
    assert all(default_storage.exists(each) for each in files_of(other.poster.name))


@pytest.mark.django_db(transaction=True)
def test_transparent_parts_have_the_colour_that_the_event_has_without_a_poster(
    client: Client, manager: User
) -> None:
    client.force_login(manager)
    event = make_event()
    transparent = BytesIO()
    Image.new("RGBA", (40, 50), (0, 0, 0, 0)).save(transparent, "PNG")
    change_event(client, event, poster=upload(transparent.getvalue()))
    event.refresh_from_db()
    for each in files_of(event.poster.name):
        pixel = stored_image(each).convert("RGB").getpixel((20, 20))
        expected = Image.new("RGB", (1, 1), colour_of(event.slug)).getpixel((0, 0))
        assert isinstance(pixel, tuple)
        assert isinstance(expected, tuple)
        assert all(abs(one - two) < 12 for one, two in zip(pixel, expected, strict=True))


def store_as_before(content: bytes) -> str:
    """Store a poster as the release did that knew no sizes."""
    name: str = default_storage.save("posters/0123456789abcdef.jpg", ContentFile(content))
    return name


def test_the_sweeper_makes_the_sizes_of_older_posters() -> None:
    event = make_event(poster=store_as_before(image_bytes("JPEG", size=(800, 1000))))
    broken = make_event(poster=store_as_before(b"no image"))
    lost = make_event(poster="posters/lost.jpg")
    call_command("sweeper", once=True)
    before = str(event.poster.name)
    event.refresh_from_db()
    assert str(event.poster.name).endswith("_800.jpg")
    assert all(default_storage.exists(each) for each in files_of(event.poster.name))
    assert default_storage.exists(before)
    for other in (broken, lost):
        name = other.poster.name
        other.refresh_from_db()
        assert other.poster.name == name


def test_the_sweeper_deletes_files_that_no_event_has_used_for_a_day() -> None:
    used = make_event(poster=store_poster(Image.new("RGB", (40, 50))))
    fresh = store_poster(Image.new("RGB", (40, 50)))
    unused = store_poster(Image.new("RGB", (40, 50)))
    older = store_as_before(image_bytes("JPEG"))
    for each in (*files_of(used.poster.name), *files_of(unused), older):
        os.utime(default_storage.path(each), (0, 0))
    call_command("sweeper", once=True)
    assert all(default_storage.exists(each) for each in files_of(used.poster.name))
    assert all(default_storage.exists(each) for each in files_of(fresh))
    assert not any(default_storage.exists(each) for each in (*files_of(unused), older))
