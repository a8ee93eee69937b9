"""Guests in admin."""

import pytest
import zxingcpp
from django.core.files.storage import default_storage
from django.test import Client
from PIL import Image

from accounts.models import User
from guests.models import Guest, StateChange
from guests.qr.codes import image_name, pass_url
from tests.factories import make_event, make_guest
from tests.helpers.admin import admin_url
from tests.helpers.invariants import broken_invariants

pytestmark = pytest.mark.django_db


def test_the_page_shows_code_emails_and_history_but_no_token(admin: Client, guest: Guest) -> None:
    page = admin.get(admin_url("guests_guest_change", guest.pk)).content.decode()
    assert guest.qr_token is not None
    # Only the link that staff hand over has it.
    assert page.count(guest.qr_token) == 1
    assert "data:image/png;base64," in page
    assert "Código QR" in page
    assert f"– → {Guest.State.ON_LIST.label} ·" in page
    assert (guest.phone or "")[-3:] in page
    with default_storage.open(image_name(guest.qr_token)) as file:
        (code,) = zxingcpp.read_barcodes(Image.open(file).convert("L"))
    assert code.text == pass_url(guest.qr_token)


def test_the_list_counts_states_and_hides_phones(admin: Client) -> None:
    event = make_event(capacity=2)
    guests = [make_guest(event) for _ in range(3)]
    make_guest()
    response = admin.get(admin_url("guests_guest_changelist"), {"event__id__exact": event.pk})
    assert response.context["cl"].result_count == 3
    page = response.content.decode()
    assert "(2)" in page
    for guest in guests:
        assert (guest.phone or "") not in page
        assert (guest.qr_token or "no token") not in page


def test_cancelling_asks_for_confirmation_and_names_the_account_in_the_history(
    admin: Client, manager: User, guest: Guest
) -> None:
    form = {"action": "cancel", "_selected_action": guest.pk}
    asked = admin.post(admin_url("guests_guest_changelist"), form)
    assert guest.name in asked.content.decode()
    guest.refresh_from_db()
    assert guest.state == "on_list"
    admin.post(admin_url("guests_guest_changelist"), form | {"confirmed": "yes"})
    guest.refresh_from_db()
    assert (guest.state, guest.qr_token) == ("cancelled", None)
    assert StateChange.objects.first().actor == f"account:{manager.pk}"  # type: ignore[union-attr]
    assert broken_invariants() == []


def test_only_the_name_of_a_guest_can_be_edited_and_no_guest_is_deleted(
    admin: Client, guest: Guest
) -> None:
    form = {"name": "Nome Certo", "state": "cancelled", "phone": "+351910000009"}
    assert admin.post(admin_url("guests_guest_change", guest.pk), form).status_code == 302
    changed = Guest.objects.get()
    assert changed.name == "Nome Certo"
    assert (changed.state, changed.phone) == (guest.state, guest.phone)
    assert (
        admin.post(admin_url("guests_guest_delete", guest.pk), {"post": "yes"}).status_code == 403
    )
