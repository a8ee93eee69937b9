"""The page of a pass, and the image of its QR code."""

from typing import Any

import pytest
from django.core.files.storage import default_storage
from django.test import Client

from guests.qr.codes import image_name, image_url, pass_url
from guests.requests.waiting_list import cancel_guests
from tests.factories import make_account, make_event, make_guest, make_staff
from tests.helpers.scans import scan
from tests.helpers.visitors import Visitor, file_of, html_of

pytestmark = pytest.mark.django_db


def test_a_pass_shows_its_holder_the_name_and_the_qr_code() -> None:
    guest = make_guest()
    assert guest.qr_token
    shown = Visitor(guest.event).signed_in(guest.account).get(f"/guest/{guest.qr_token}")
    assert guest.name in html_of(shown)
    assert image_url(guest.qr_token) in html_of(shown)
    assert "no-store" in shown["Cache-Control"]


@pytest.mark.parametrize("is_signed_in", [False, True])
def test_a_pass_shows_a_stranger_no_personal_data(is_signed_in: bool) -> None:
    guest = make_guest(make_event(title="Noite Secreta", venue="Sala Secreta"))
    visitor = Visitor(guest.event)
    if is_signed_in:
        visitor.signed_in(make_account())
    shown = visitor.get(f"/guest/{guest.qr_token}")
    assert shown.status_code == 200
    html = html_of(shown)
    account = guest.account
    secrets = [account.first_name, account.last_name, account.email, account.phone or ""]
    secrets += [guest.phone or "", "Secreta", "/media/qr/"]
    assert [text for text in secrets if text in html] == []


def test_a_cancelled_pass_tells_its_holder_and_an_unknown_one_is_not_found() -> None:
    guest = make_guest()
    token = guest.qr_token
    cancel_guests(guest.event_id, [guest.pk], acting_user=make_staff())
    visitor = Visitor(guest.event).signed_in(guest.account)
    assert "You are no longer on this list" in html_of(visitor.get(f"/guest/{token}"))
    assert visitor.get("/guest/nobody-has-this-token").status_code == 404


def test_a_qr_image_can_be_cached_for_a_year() -> None:
    guest = make_guest()
    response = Client().get(image_url(guest.qr_token or ""))
    assert response["Content-Type"] == "image/png"
    assert set(response["Cache-Control"].split(", ")) == {"public", "max-age=31536000", "immutable"}
    assert scan(file_of(response)) == pass_url(guest.qr_token or "")


def test_a_qr_image_makes_no_query(django_assert_num_queries: Any) -> None:
    url = image_url(make_guest().qr_token or "")
    with django_assert_num_queries(0):
        file_of(Client().get(url))


def test_a_lost_qr_image_is_drawn_again() -> None:
    guest = make_guest()
    token = guest.qr_token or ""
    before = file_of(Client().get(image_url(token)))
    default_storage.delete(image_name(token))
    assert file_of(Client().get(image_url(token))) == before
    assert default_storage.exists(image_name(token))


def test_no_image_is_drawn_for_an_unknown_token() -> None:
    assert Client().get("/media/qr/nobody-has-this-token.png").status_code == 404
    assert not default_storage.exists("qr/nobody-has-this-token.png")
