"""Who gets into admin."""

import pytest
from django.test import Client

from accounts.models import User
from guests.models import Guest
from tests.factories import make_account
from tests.helpers.admin import LISTS, admin_url

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("name", LISTS)
def test_visitors_without_staff_rights_are_sent_to_the_sign_in_page(
    client: Client, name: str, guest: Guest
) -> None:
    for account in (None, make_account(), guest.account):
        if account:
            client.force_login(account)
        for method in (client.get, client.post):
            response = method(admin_url(f"{name}_changelist"))
            assert response.status_code == 302
            assert response.headers["Location"].startswith("/admin/login/")


def test_door_staff_see_guests_and_change_nothing(
    client: Client, door_staff: User, guest: Guest
) -> None:
    client.force_login(door_staff)
    assert client.get(admin_url("guests_guest_changelist")).status_code == 200
    assert client.get(admin_url("guests_guest_change", guest.pk)).status_code == 200
    assert client.post(admin_url("guests_guest_change", guest.pk), {"name": "X"}).status_code == 403
    cancel = {"action": "cancel", "_selected_action": guest.pk, "confirmed": "yes"}
    client.post(admin_url("guests_guest_changelist"), cancel)
    guest.refresh_from_db()
    assert guest.state == "on_list"
    assert client.get(admin_url("accounts_user_changelist")).status_code == 403
    assert client.get(admin_url("guests_event_add")).status_code == 403


def test_door_staff_see_no_dead_entries(client: Client, door_staff: User) -> None:
    client.force_login(door_staff)
    assert client.get(admin_url("guests_deadentry_changelist")).status_code == 403
