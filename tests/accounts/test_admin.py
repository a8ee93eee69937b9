"""Accounts and blocked phones in admin."""

import pytest
from django.contrib.auth.models import Permission
from django.test import Client

from accounts.models import BlockedPhone, User
from accounts.services import is_blocked
from tests.factories import make_account, make_staff
from tests.helpers.admin import admin_url

pytestmark = pytest.mark.django_db


def test_staff_sign_in_with_a_phone_in_any_format(client: Client) -> None:
    staff = make_staff(phone="+351912000999")
    form = {"username": "912 000 999", "password": "a long password", "next": "/admin/"}
    assert client.post("/admin/login/", form).headers["Location"] == "/admin/"
    assert client.session["_auth_user_id"] == str(staff.pk)


def test_an_account_is_added_without_a_password_and_once_for_each_phone(admin: Client) -> None:
    form = {
        "phone": "912 345 678",
        "first_name": "Marta",
        "last_name": "Exemplo",
        "email": "marta@example.com",
        "language": "pt-pt",
    }
    assert admin.post(admin_url("accounts_user_add"), form).status_code == 302
    account = User.objects.get(phone="+351912345678")
    assert not account.has_usable_password()
    assert admin.post(admin_url("accounts_user_add"), form).status_code == 200
    assert User.objects.filter(phone="+351912345678").count() == 1
    assert admin.post(admin_url("accounts_user_add"), form | {"phone": "912"}).status_code == 200


def test_only_staff_can_have_passwords(admin: Client, stranger: User, door_staff: User) -> None:
    passwords = {"password1": "correct horse staple", "password2": "correct horse staple"}
    passwords |= {"usable_password": "true"}
    for account, status in ((stranger, 403), (door_staff, 302)):
        url = admin_url("auth_user_password_change", account.pk)
        assert admin.post(url, passwords).status_code == status
    stranger.refresh_from_db()
    door_staff.refresh_from_db()
    assert not stranger.has_usable_password()
    assert door_staff.check_password("correct horse staple")


def test_staff_cannot_raise_their_own_permissions(client: Client) -> None:
    staff, boss = make_account(is_staff=True), make_staff()
    staff.user_permissions.set(Permission.objects.filter(content_type__app_label="accounts"))
    client.force_login(staff)
    form = {
        "phone": staff.phone,
        "first_name": "Novo",
        "last_name": "Nome",
        "email": staff.email,
        "language": "pt-pt",
        "is_active": "on",
        "is_superuser": "on",
        "is_staff": "on",
    }
    assert client.post(admin_url("accounts_user_change", staff.pk), form).status_code == 403
    staff.refresh_from_db()
    assert (staff.first_name, staff.is_superuser) == ("Rita", False)
    assert client.post(admin_url("accounts_user_change", boss.pk), form).status_code == 403
    assert client.get(admin_url("auth_user_password_change", boss.pk)).status_code == 403
    assert (
        client.post(admin_url("accounts_user_delete", boss.pk), {"post": "yes"}).status_code == 403
    )


def test_signing_out_everywhere_ends_sessions(admin: Client, stranger: User) -> None:
    visitor = Client()
    visitor.force_login(stranger)
    form = {"action": "sign_out_everywhere", "_selected_action": stranger.pk}
    admin.post(admin_url("accounts_user_changelist"), form)
    session_hash = visitor.session["_auth_user_hash"]
    stranger.refresh_from_db()
    assert stranger.get_session_auth_hash() != session_hash


def test_a_blocked_phone_is_complete_unless_it_is_a_prefix(admin: Client) -> None:
    url, form = admin_url("accounts_blockedphone_add"), {"phone": "+35191", "reason": "tests"}
    assert admin.post(url, form | {"phone": "91 000"}).status_code == 200
    assert admin.post(url, form | {"is_prefix": "on"}).status_code == 302
    assert is_blocked("+351912345678")


@pytest.mark.parametrize(
    ("typed", "is_prefix", "stored"),
    [
        ("912\u202f345 678", False, "+351912345678"),
        ("'+351 912 345 678", False, "+351912345678"),
        ("00351 912 345 678", False, "+351912345678"),
        ("760 100 200", False, "+351760100200"),
        ("[+351] 91", True, "+35191"),
        ("91", True, "+35191"),
    ],
)
def test_a_phone_is_blocked_in_every_spelling(
    admin: Client, typed: str, is_prefix: bool, stored: str
) -> None:
    form = {"phone": typed, "reason": "Testes\u200b"}
    if is_prefix:
        form["is_prefix"] = "on"
    assert admin.post(admin_url("accounts_blockedphone_add"), form).status_code == 302
    blocked = BlockedPhone.objects.get()
    assert (blocked.phone, blocked.reason) == (stored, "Testes")


def test_staff_write_accounts_as_guests_do(admin: Client) -> None:
    url = admin_url("accounts_user_add")
    form = {
        "phone": "tel:+351-912-345-678",
        "first_name": "Madonna\u200b",
        "last_name": "",
        "email": "Madonna <m@faß.example>",
        "language": "pt-pt",
    }
    wrong = {"phone": "707 200 200", "first_name": "evil.co", "email": "a@localhost"}
    for field, value in wrong.items():
        refused = admin.post(url, form | {field: value})
        assert list(refused.context["adminform"].form.errors) == [field]
    assert admin.post(url, form).status_code == 302
    account = User.objects.get(first_name="Madonna")
    assert (account.phone, account.name) == ("+351912345678", "Madonna")
    assert account.email == "m@xn--fa-hia.example"
    found = admin.get(admin_url("accounts_user_changelist"), {"q": "m@faß.example"})
    assert "m@faß.example" in found.content.decode()


@pytest.mark.parametrize("stored", ["x@faß.example", "x@xn--fa-hia.example"])
def test_saving_an_account_does_not_change_the_form_of_its_email(
    admin: Client, stored: str
) -> None:
    account = make_account(email=stored, verified_at="2026-01-01T00:00Z")
    url = admin_url("accounts_user_change", account.pk)
    shown = admin.get(url).content.decode()
    assert 'value="x@faß.example"' in shown
    form = {"phone": account.phone, "first_name": "Eva", "last_name": "", "language": "en"}
    form |= {"email": "x@faß.example", "is_active": "on"}
    assert admin.post(url, form).status_code == 302
    account.refresh_from_db()
    assert (account.first_name, account.email) == ("Eva", stored)
    assert account.verified_at is not None
