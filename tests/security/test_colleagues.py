"""Staff with every permission, who are no superuser, try to sign in as a colleague."""

from typing import Any

import pytest
from django.contrib import admin
from django.contrib.auth.models import Group, Permission
from django.test import Client
from django.urls import NoReverseMatch, reverse
from django_otp.plugins.otp_static.models import StaticDevice, StaticToken
from django_otp.plugins.otp_totp.models import TOTPDevice

from accounts.models import AuthenticatorApp, BackupCodes, BlockedPhone, User
from tests.factories import make_account, make_promoter, make_staff

pytestmark = pytest.mark.django_db

NEW_PASSWORD = "correct horse staple"
MINE = "attacker@example.com"
# Tables that decide how accounts sign in, and what they may do.
WATCHED: list[Any] = [
    User,
    User.groups.through,
    User.user_permissions.through,
    Group,
    Group.permissions.through,
    TOTPDevice,
    StaticDevice,
    StaticToken,
    BlockedPhone,
]


@pytest.fixture
def attacker() -> User:
    """Staff with every permission."""
    account = make_account(is_staff=True, phone="+351912000666")
    account.set_password("a long password")
    account.save()
    account.user_permissions.set(Permission.objects.all())
    return account


@pytest.fixture
def client(attacker: User) -> Client:
    client = Client()
    form = {"username": attacker.phone or "", "password": "a long password"}
    assert client.post("/admin/login/", form).status_code == 302
    return client


def colleagues() -> list[User]:
    """Return an account for each kind of power: superuser, staff, group and permission."""
    boss, staff = make_staff(phone="+351912000001"), make_account(is_staff=True)
    grouped, allowed = make_account(), make_account()
    group = Group.objects.create(name="Porta")
    group.permissions.set(Permission.objects.filter(codename="view_guest"))
    grouped.groups.add(group)
    allowed.user_permissions.set(Permission.objects.filter(codename="view_guest"))
    for account in (boss, staff):
        TOTPDevice.objects.create(user=account, name="app", confirmed=True)
        device = StaticDevice.objects.create(user=account, name="backup")
        StaticToken.objects.create(device=device, token="abcdefgh")
    BlockedPhone.objects.create(phone=staff.phone or "", reason="a superuser's decision")
    return [boss, staff, grouped, allowed]


def state() -> list[Any]:
    return [list(table.objects.order_by("pk").values()) for table in WATCHED]


def account_form(account: User) -> dict[str, Any]:
    return {
        "phone": "+351912000777",
        "first_name": "Novo",
        "last_name": "Nome",
        "email": MINE,
        "language": "en",
        "is_staff": "on",
        "is_superuser": "on",
        "user_permissions": [permission.pk for permission in Permission.objects.all()[:5]],
        "groups": [group.pk for group in Group.objects.all()],
        "password1": NEW_PASSWORD,
        "password2": NEW_PASSWORD,
        "usable_password": "true",
        "user": account.pk,
        "name": "app",
        "confirmed": "on",
        "key": "00" * 20,
        "step": 30,
        "t0": 0,
        "digits": 6,
        "tolerance": 1,
        "drift": 0,
        "last_t": -1,
        "throttling_failure_count": 0,
        "reason": "shut out",
        "permissions": [permission.pk for permission in Permission.objects.all()],
        "post": "yes",
        "confirm": "yes",
        "token_set-TOTAL_FORMS": 1,
        "token_set-INITIAL_FORMS": 0,
        "token_set-0-token": "mytoken1",
        "form-TOTAL_FORMS": 1,
        "form-INITIAL_FORMS": 1,
        "form-0-id": account.pk,
        "form-0-email": MINE,
        "form-0-is_staff": "on",
        "_save": "Save",
    }


def paths() -> list[str]:
    """Return every path in admin about accounts, second factors, groups and blocked phones."""
    found = ["/admin/second-factor/"]
    for model in (User, AuthenticatorApp, BackupCodes, Group, BlockedPhone):
        if not admin.site.is_registered(model):
            continue
        names = [pattern.name for pattern in admin.site._registry[model].get_urls() if pattern.name]
        for name in names:
            for pk in model.objects.order_by("pk").values_list("pk", flat=True):
                try:
                    found.append(reverse(f"admin:{name}", args=[pk]))
                except NoReverseMatch:  # The route has no id.
                    found.append(reverse(f"admin:{name}"))
                    break
    return found


@pytest.mark.slow
def test_no_address_in_admin_changes_how_a_colleague_signs_in(client: Client) -> None:
    targets = colleagues()
    before = state()
    walked = [path for path in paths() if path != "/admin/second-factor/"]
    assert len(walked) > 40
    for account in targets:
        form = account_form(account)
        for path in walked:
            client.get(path)
            client.post(path, form)
    for path in walked:
        for action in ("sign_out_everywhere", "delete_selected"):
            for pk in (*(account.pk for account in targets), 1, 2):
                chosen = {"action": action, "_selected_action": pk, "post": "yes"}
                client.post(path, chosen)
    # The attacker may make accounts of guests and block their phones, and nothing else.
    after = state()
    for table in (WATCHED.index(User), WATCHED.index(BlockedPhone)):
        known = {row["id"] for row in before[table]}
        after[table] = [row for row in after[table] if row["id"] in known]
    assert after == before


@pytest.mark.parametrize("field", ["phone", "email", "password", "is_active"])
def test_a_colleagues_account_is_read_only(client: Client, field: str) -> None:
    colleague = make_account(is_staff=True)
    page = client.get(f"/admin/accounts/user/{colleague.pk}/change/")
    assert page.status_code == 200
    assert f'name="{field}"' not in page.content.decode()


def test_staff_cannot_make_an_account_staff(client: Client) -> None:
    guest = make_account()
    form = account_form(guest) | {"phone": "+351912000555"}
    client.post("/admin/accounts/user/add/", form)
    client.post(f"/admin/accounts/user/{guest.pk}/change/", form | {"phone": guest.phone})
    assert User.objects.filter(is_staff=True).count() == 1
    assert not User.objects.filter(is_superuser=True)
    guest.refresh_from_db()
    assert guest.email == MINE
    assert not guest.has_powers


def test_staff_cannot_give_themselves_permissions_or_a_second_factor(
    client: Client, attacker: User
) -> None:
    group = Group.objects.create(name="Todos")
    form = account_form(attacker) | {"phone": attacker.phone}
    for path in (
        f"/admin/accounts/user/{attacker.pk}/change/",
        f"/admin/accounts/user/{attacker.pk}/password/",
        f"/admin/auth/group/{group.pk}/change/",
        "/admin/auth/group/add/",
        "/admin/accounts/authenticatorapp/add/",
        "/admin/accounts/backupcodes/add/",
    ):
        assert client.post(path, form).status_code == 403, path
    attacker.refresh_from_db()
    assert not attacker.is_superuser
    assert attacker.check_password("a long password")


def test_staff_cannot_block_the_phone_of_a_colleague(client: Client, attacker: User) -> None:
    colleague = make_account(is_staff=True)
    phone = colleague.phone or ""
    add = "/admin/accounts/blockedphone/add/"
    client.post(add, {"phone": phone, "reason": "x"})
    client.post(add, {"phone": phone[:6], "is_prefix": "on", "reason": "x"})
    other = make_account().phone or ""
    assert client.post(add, {"phone": other, "reason": "x"}).status_code == 302
    assert list(BlockedPhone.objects.values_list("phone", flat=True)) == [other]
    made = BlockedPhone.objects.get()
    client.post(f"/admin/accounts/blockedphone/{made.pk}/change/", {"phone": phone, "reason": "x"})
    made.refresh_from_db()
    assert made.phone == other


def test_staff_change_guests_and_their_own_password(client: Client, attacker: User) -> None:
    """Staff may change accounts without permissions, and their own password."""
    guest = make_account()
    make_promoter(account=guest)
    form = {
        "phone": guest.phone,
        "first_name": "Rita",
        "last_name": "Certa",
        "email": "certa@example.com",
        "language": "en",
        "is_active": "on",
    }
    assert client.post(f"/admin/accounts/user/{guest.pk}/change/", form).status_code == 302
    guest.refresh_from_db()
    assert guest.email == "certa@example.com"
    nonce = guest.session_nonce
    chosen = {"action": "sign_out_everywhere", "_selected_action": guest.pk}
    client.post("/admin/accounts/user/", chosen)
    guest.refresh_from_db()
    assert guest.session_nonce != nonce
    own = {
        "old_password": "a long password",
        "new_password1": NEW_PASSWORD,
        "new_password2": NEW_PASSWORD,
    }
    assert client.post("/admin/password_change/", own).status_code == 302
    attacker.refresh_from_db()
    assert attacker.check_password(NEW_PASSWORD)
    assert client.get("/admin/").status_code == 200


def test_a_superuser_changes_accounts_of_colleagues() -> None:
    client, colleague = Client(), make_account(is_staff=True)
    client.force_login(make_staff())
    passwords = {"password1": NEW_PASSWORD, "password2": NEW_PASSWORD}
    path = f"/admin/accounts/user/{colleague.pk}/password/"
    assert client.post(path, passwords).status_code == 302
    assert client.get("/admin/accounts/authenticatorapp/").status_code == 200
    assert client.get("/admin/auth/group/add/").status_code == 200
