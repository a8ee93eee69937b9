"""The image of a pass that a guest saves: who gets it, and what is on it."""

from io import BytesIO

import pytest
from django.conf import settings
from django.test import Client
from django.utils import translation
from PIL import Image, ImageChops

from guests.models import Event, Guest
from guests.passes.holders import link_for_holder
from guests.passes.image import MARGIN, PassText, draw_pass, text_of
from guests.requests.giving_back import give_place_back
from guests.requests.waiting_list import cancel_guests
from tests.factories import make_account, make_event, make_guest, make_staff
from tests.helpers.scans import scan
from tests.helpers.visitors import Visitor

pytestmark = pytest.mark.django_db

TOKEN = "tHiSiSaToKeN-0123456789x"
TEXT = PassText(
    "Noite de São João",
    "sexta-feira, 4 de dezembro de 2026, 16:29 (Atlantic/Azores)",
    "Armazém do Cais, Rua do Ouro 12, Porto",
    "Inês Exemplo",
    "Mostra-o à entrada, com um documento de identificação.",
)


def image_path(guest: Guest) -> str:
    return f"/guest/{guest.qr_token}/image.png"


def opened(png: bytes) -> Image.Image:
    return Image.open(BytesIO(png)).convert("RGB")


def differing_rows(first: bytes, second: bytes) -> tuple[int, int]:
    """Return the first and the last row in which two images of one size differ."""
    box = ImageChops.difference(opened(first), opened(second)).getbbox()
    assert box
    return box[1], box[3]


# Who gets it -------------------------------------------------------------------------------------


def test_the_account_of_the_guest_saves_an_image_with_a_code_that_opens_the_door(
    guest: Guest,
) -> None:
    response = Visitor(guest.event).signed_in(guest.account).browser.get(image_path(guest))
    assert response["Content-Type"] == "image/png"
    assert response["Content-Disposition"] == f'attachment; filename="{guest.event.slug}.png"'
    assert "no-store" in response["Cache-Control"]
    assert scan(response.content) == f"{settings.PUBLIC_URL}/guest/{guest.qr_token}"


def test_a_browser_with_the_link_from_the_email_saves_it(guest: Guest) -> None:
    link = link_for_holder(guest)
    query = link.partition("?")[2]
    assert Client().get(f"{image_path(guest)}?{query}").status_code == 200
    opener = Client()
    opener.get(link)
    assert opener.get(image_path(guest)).status_code == 200


def test_nobody_else_gets_it(guest: Guest) -> None:
    assert Client().get(image_path(guest)).status_code == 404
    assert (
        Visitor(guest.event).signed_in(make_account()).browser.get(image_path(guest)).status_code
        == 404
    )
    assert Client().get(f"{image_path(guest)}?proof=wrong").status_code == 404
    assert Client().get("/guest/unknown/image.png").status_code == 404


def test_a_place_whose_code_does_not_open_the_door_has_none() -> None:
    withheld = make_guest(make_event(requires_proof=True))
    leaving, cancelled, off = (make_guest() for _ in range(3))
    give_place_back(leaving)
    Event.objects.filter(pk=cancelled.event_id).update(cancelled_at="2026-11-27T12:00Z")
    cancel_guests(off.event_id, [off.pk], acting_user=make_staff())
    for guest in (withheld, leaving, cancelled, off):
        visitor = Visitor(guest.event).signed_in(guest.account)
        assert visitor.get(image_path(guest)).status_code == 404


def test_the_pages_of_a_place_link_to_it_with_a_name_for_the_file(guest: Guest) -> None:
    visitor = Visitor(guest.event).signed_in(guest.account)
    link = f'href="{image_path(guest)}" download="{guest.event.slug}.png"'
    for page in (visitor.look(), visitor.get(f"/guest/{guest.qr_token}")):
        assert link in page.content.decode()


# What is on it -----------------------------------------------------------------------------------


def test_the_texts_are_those_of_the_event_and_the_guest() -> None:
    event = make_event(address="Rua do Ouro 12", time_zone="Atlantic/Azores")
    guest = make_guest(event)
    with translation.override("pt-pt"):
        text = text_of(guest)
    assert (text.title, text.name) == (event.title, guest.name)
    assert text.where == "Sala Exemplo, Rua do Ouro 12"
    assert f"{event.local_start:%H:%M} (Atlantic/Azores)" in text.when
    assert str(event.local_start.year) in text.when


@pytest.mark.parametrize("field", ["title", "when", "where", "name", "hint"])
def test_each_text_is_drawn(field: str) -> None:
    changed = PassText(**{**TEXT.__dict__, field: getattr(TEXT, field).swapcase()})
    assert differing_rows(draw_pass(TEXT, TOKEN), draw_pass(changed, TOKEN))


@pytest.mark.parametrize(
    "title",
    [
        "Uma festa com um título mesmo muito comprido, que não cabe numa linha nem em duas " * 2,
        "X" * 120,
        "حفلة رأس السنة 🎉",
        "מסיבת ראש השנה",
        "Вечеринка у моря",
        "Festa 🎉🪩",
        "🎉",
    ],
)
def test_any_title_leaves_the_code_readable_and_the_margins_free(title: str) -> None:
    png = draw_pass(PassText(title, TEXT.when, TEXT.where * 4, "Maria " * 20, TEXT.hint), TOKEN)
    assert scan(png).endswith(f"/guest/{TOKEN}")
    image = opened(png)
    right = image.crop((image.width - MARGIN // 2, 0, image.width, image.height))
    left = image.crop((0, 0, MARGIN // 2, image.height))
    for edge in (left, right):
        # Only the two colours of the background.
        assert len(edge.getcolors() or []) == 2


def test_a_title_of_emoji_alone_gives_the_address_of_the_event() -> None:
    guest = make_guest(make_event(title="🎉🎉"))
    assert text_of(guest).title == guest.event.slug


def test_a_phone_reads_the_code_from_a_small_copy() -> None:
    image = opened(draw_pass(TEXT, TOKEN))
    small = BytesIO()
    image.resize((image.width // 3, image.height // 3)).save(small, "PNG")
    assert scan(small.getvalue()).endswith(TOKEN)
