"""Uploaded posters: images are re-encoded, and other files are refused."""

import re
import struct
import zlib

import pytest
from django.core.exceptions import ValidationError
from django.test import Client
from PIL import Image
from pytest_django import Settings

from accounts.models import User
from guests.models import Event
from guests.posters.uploads import store_upload
from tests.factories import make_event
from tests.helpers.images import (
    files_of,
    image_bytes,
    stored_bytes,
    stored_image,
    stored_posters,
    upload,
)

SCRIPT = b"<script>alert(1)</script>"


def bomb(side: int) -> bytes:
    """Return a PNG of a few kilobytes whose header gives `side` pixels of width and height."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        crc = struct.pack(">I", zlib.crc32(kind + data))
        return struct.pack(">I", len(data)) + kind + data + crc

    header = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    pixels = zlib.compress(bytes(100_000))
    parts = chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + parts


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_an_image_is_encoded_again_and_renamed(kind: str) -> None:
    name = store_upload(upload(image_bytes(kind), "../../../etc/cron.d/x.png"), "#ffffff")
    assert re.fullmatch(r"posters/[0-9a-f]{16}_40\.jpg", name)
    assert stored_image(name).format == "JPEG"


def test_data_hidden_in_an_image_are_removed() -> None:
    exif = Image.Exif()
    exif[0x010E] = SCRIPT.decode()
    name = store_upload(upload(image_bytes("JPEG", exif=exif) + SCRIPT), "#ffffff")
    for each in files_of(name):
        assert SCRIPT not in stored_bytes(each)


def test_large_images_are_scaled_down() -> None:
    name = store_upload(upload(image_bytes(size=(3000, 1000))), "#ffffff")
    assert stored_image(name).size == (2000, 667)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        SCRIPT,
        b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>',
        b"GIF89a" + b"\0" * 50,
        image_bytes("GIF"),
        image_bytes("TIFF"),
        image_bytes("PNG")[:60],
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n",
        b"\x89PNG\r\n\x1a\n" + b"\xff" * 200,
        bomb(9_000),
        bomb(12_000),
        bomb(60_000),
    ],
    ids=lambda content: repr(content[:12]),
)
def test_other_files_are_refused(content: bytes) -> None:
    with pytest.raises(ValidationError):
        store_upload(upload(content), "#ffffff")


def test_a_file_past_the_maximum_size_is_refused(settings: Settings) -> None:
    settings.POSTER_MAX_SIZE = 100
    with pytest.raises(ValidationError):
        store_upload(upload(image_bytes()), "#ffffff")


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("name", "content"),
    [("a.svg", b"<svg/>"), ("a.png", SCRIPT), ("a.html", image_bytes()), ("a.png", bomb(12_000))],
)
@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_admin_accepts_only_images_as_posters(
    client: Client, manager: User, name: str, content: bytes
) -> None:
    event = make_event()
    client.force_login(manager)
    form = {"poster": upload(content, name)}
    response = client.post(f"/admin/guests/event/{event.pk}/change/", form)
    assert "poster" in response.context["adminform"].form.errors
    assert not Event.objects.get(pk=event.pk).poster


@pytest.mark.django_db
def test_the_poster_of_a_refused_form_is_not_kept(client: Client, manager: User) -> None:
    event = make_event()
    client.force_login(manager)
    before = stored_posters()
    form = {"poster": upload(image_bytes()), "title": ""}
    response = client.post(f"/admin/guests/event/{event.pk}/change/", form)
    assert "poster" not in response.context["adminform"].form.errors
    assert stored_posters() == before


@pytest.mark.django_db
def test_an_upload_without_permission_stores_no_image(client: Client, door_staff: User) -> None:
    event = make_event()
    client.force_login(door_staff)
    before = stored_posters()
    form = {"poster": upload(image_bytes())}
    assert client.post(f"/admin/guests/event/{event.pk}/change/", form).status_code == 403
    assert stored_posters() == before
