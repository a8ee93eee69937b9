"""Posters that are no posters, and bodies that nobody asked for."""

import struct
import zlib
from io import BytesIO
from pathlib import Path

import pytest
from django.core.exceptions import ValidationError
from django.core.files.storage import default_storage
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from PIL import Image
from pytest_django import Settings

from accounts.models import User
from guests.models import Event
from guests.posters import reencode_image
from tests.factories import make_event

SCRIPT = b"<script>alert(1)</script>"


def image_bytes(kind: str = "PNG", size: tuple[int, int] = (40, 60), **how: object) -> bytes:
    buffer = BytesIO()
    Image.new("RGB", size, "red").save(buffer, kind, **how)
    return buffer.getvalue()


def upload(content: bytes, name: str = "poster.png", kind: str = "image/png") -> SimpleUploadedFile:
    return SimpleUploadedFile(name, content, kind)


def bomb(side: int) -> bytes:
    """Return a PNG of a few kilobytes that says it is `side` pixels wide and high."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        crc = struct.pack(">I", zlib.crc32(kind + data))
        return struct.pack(">I", len(data)) + kind + data + crc

    header = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    pixels = zlib.compress(bytes(100_000))
    parts = chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + parts


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_an_image_is_drawn_anew_under_a_name_of_ours(kind: str) -> None:
    poster = reencode_image(upload(image_bytes(kind), "../../../etc/cron.d/x.png"))
    assert poster.name is not None
    assert "/" not in poster.name
    assert "x" not in poster.name
    assert Image.open(poster).format == "JPEG"


def test_what_hides_behind_an_image_is_gone() -> None:
    exif = Image.Exif()
    exif[0x010E] = SCRIPT.decode()
    poster = reencode_image(upload(image_bytes("JPEG", exif=exif) + SCRIPT))
    assert SCRIPT not in poster.read()


def test_large_images_are_made_smaller() -> None:
    assert max(Image.open(reencode_image(upload(image_bytes(size=(3000, 1000))))).size) == 2000


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
def test_what_is_no_poster(content: bytes) -> None:
    with pytest.raises(ValidationError):
        reencode_image(upload(content))


def test_a_file_too_large(settings: Settings) -> None:
    settings.POSTER_MAX_SIZE = 100
    with pytest.raises(ValidationError):
        reencode_image(upload(image_bytes()))


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("name", "content"),
    [("a.svg", b"<svg/>"), ("a.png", SCRIPT), ("a.html", image_bytes()), ("a.png", bomb(12_000))],
)
@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_admin_takes_posters_only(client: Client, manager: User, name: str, content: bytes) -> None:
    event = make_event()
    client.force_login(manager)
    form = {"poster": upload(content, name)}
    response = client.post(f"/admin/guests/event/{event.pk}/change/", form)
    assert "poster" in response.context["adminform"].form.errors
    assert not Event.objects.get(pk=event.pk).poster


@pytest.mark.django_db
def test_a_poster_of_a_form_that_is_refused_is_not_kept(client: Client, manager: User) -> None:
    event = make_event()
    client.force_login(manager)
    before = posters()
    form = {"poster": upload(image_bytes()), "title": ""}
    response = client.post(f"/admin/guests/event/{event.pk}/change/", form)
    assert "poster" not in response.context["adminform"].form.errors
    assert posters() == before


@pytest.mark.django_db
def test_who_may_not_change_events_has_no_image_drawn(client: Client, door_staff: User) -> None:
    event = make_event()
    client.force_login(door_staff)
    before = posters()
    form = {"poster": upload(image_bytes())}
    assert client.post(f"/admin/guests/event/{event.pk}/change/", form).status_code == 403
    assert posters() == before


def posters() -> set[str]:
    folder = Path(default_storage.path("posters"))
    return {file.name for file in folder.glob("*")}


# Bodies ------------------------------------------------------------------------------------------


@pytest.mark.django_db
@pytest.mark.parametrize("path", ["/promo/festa/-/phone/", "/i18n/setlang/", "/sign-out/", "/"])
@pytest.mark.parametrize("kind", ["application/x-www-form-urlencoded", "multipart/form-data"])
def test_a_body_is_refused_by_the_length_it_announces(client: Client, path: str, kind: str) -> None:
    response = client.generic(
        "POST", path, b"", f"{kind}; boundary=x", headers={"content-length": "10000000000"}
    )
    assert response.status_code == 413
    assert "errors/413.html" in [template.name for template in response.templates]


@pytest.mark.parametrize("length", ["-1", "1e9", "0x10", "9" * 400, "9" * 5000, "1,1", "²"])
def test_lengths_that_are_none_are_refused(client: Client, length: str) -> None:
    response = client.generic("POST", "/promo/", b"", headers={"content-length": length})
    assert response.status_code == 413


@pytest.mark.django_db
def test_staff_may_send_a_poster_and_guests_nothing_as_large(client: Client, manager: User) -> None:
    event = make_event()
    client.force_login(manager)
    addresses = {
        f"/admin/guests/event/{event.pk}/change/": 200,
        f"/promo/{event.slug}/-/phone/": 413,
    }
    for address, status in addresses.items():
        large = {"poster": upload(b"x" * 3_000_000)}
        assert client.post(address, large).status_code == status


@pytest.mark.django_db
def test_thousands_of_fields_are_refused(client: Client) -> None:
    event = make_event()
    fields = {f"field{n}": "1" for n in range(1500)}
    assert client.post(f"/promo/{event.slug}/-/phone/", fields).status_code == 400
