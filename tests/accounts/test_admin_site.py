"""Admin from outside: guessed passwords, stolen mailboxes, copied cookies, replayed codes."""

import re
import time
from datetime import timedelta
from typing import Any

import pytest
from axes.models import AccessAttempt
from django.contrib.auth import SESSION_KEY
from django.contrib.auth.models import Permission
from django.db import connection
from django.db.models import F
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django_otp.oath import hotp, totp
from django_otp.plugins.otp_static.models import StaticToken
from django_otp.plugins.otp_totp.models import TOTPDevice
from pytest_django import Settings

from accounts.models import User
from accounts.sessions import BACKEND
from accounts.staff_sessions import SEEN_KEY, SINCE_KEY
from tests.factories import make_account, make_event, make_staff
from tests.helpers.visitors import Visitor, html_of

pytestmark = pytest.mark.django_db

PHONE, PASSWORD = "+351912000999", "a long password"
HOUR = 3600


@pytest.fixture
def staff() -> User:
    return make_staff(phone=PHONE)


@pytest.fixture
def second_factor(settings: Settings) -> None:
    settings.STAFF_SECOND_FACTOR = True


def sign_in(client: Client, phone: str = PHONE, password: str = PASSWORD, **headers: str) -> Any:
    form = {"username": phone, "password": password, "next": "/admin/guests/guest/"}
    return client.post("/admin/login/", form, headers=headers)


def is_inside(client: Client) -> bool:
    return client.get("/admin/guests/guest/").status_code == 200


def set_session(client: Client, **values: Any) -> None:
    session = client.session
    session.update(values)
    session.save()
    client.cookies["session"] = session.session_key or ""


# Passwords ----------------------------------------------------------------------------------------


def test_a_password_is_not_guessed_in_more_than_five_tries(client: Client, staff: User) -> None:
    responses = [sign_in(client, password=f"guess {n}") for n in range(5)]
    assert [response.status_code for response in responses] == [200, 200, 200, 200, 429]
    right = sign_in(client)
    assert right.status_code == 429
    assert right["Retry-After"] == "900"
    assert "errors/locked_out.html" in [template.name for template in right.templates]
    assert SESSION_KEY not in client.session


def test_more_attempts_do_not_extend_a_lockout(client: Client, staff: User) -> None:
    for n in range(3):
        sign_in(client, password=f"guess {n}")
    for n in range(2):
        sign_in(client, password=f"guess {n}", user_agent="another browser")
    for _ in range(3):
        assert 880 <= int(sign_in(client)["Retry-After"]) <= 900
    AccessAttempt.objects.update(attempt_time=F("attempt_time") - timedelta(minutes=6))
    for _ in range(3):
        shown = sign_in(client)
        assert 520 <= int(shown["Retry-After"]) <= 540
        assert "9 min" in html_of(shown)
    AccessAttempt.objects.update(attempt_time=F("attempt_time") - timedelta(minutes=9))
    assert sign_in(client).status_code == 302


def test_all_ways_to_write_a_phone_count_as_one(client: Client, staff: User) -> None:
    for typed in ("912000999", "912 000 999", "+351912000999", "00351912000999", "+351 912000999"):
        last = sign_in(client, typed, "wrong")
    assert last.status_code == 429


def test_forwarded_addresses_make_no_new_tries(client: Client, staff: User) -> None:
    for n in range(5):
        last = sign_in(client, password="wrong", x_forwarded_for=f"203.0.113.{n}")
    assert last.status_code == 429


def test_only_an_address_from_trusted_proxies_counts(
    client: Client, staff: User, settings: Settings
) -> None:
    settings.TRUSTED_PROXIES = 1
    for n in range(5):
        addresses = f"203.0.113.{n}, 198.51.100.7"
        last = sign_in(client, password="wrong", x_forwarded_for=addresses)
    assert last.status_code == 429
    assert sign_in(client, x_forwarded_for="198.51.100.8").status_code == 302


def test_attempts_from_one_address_lock_out_no_other_address(staff: User) -> None:
    attacker, colleague = Client(REMOTE_ADDR="203.0.113.9"), Client(REMOTE_ADDR="203.0.113.10")
    for _ in range(8):
        sign_in(attacker, password="wrong")
    assert sign_in(colleague).status_code == 302


def test_guests_sign_in_where_staff_are_locked_out(client: Client, staff: User) -> None:
    for _ in range(6):
        sign_in(client, password="wrong")
    visitor = Visitor(make_event())
    visitor.give_phone()
    assert visitor.register().status_code == 303


def test_known_and_unknown_phones_get_the_same_response(client: Client, staff: User) -> None:
    known, unknown = sign_in(client, password="wrong"), sign_in(client, "912000111", "wrong")
    assert known.status_code == unknown.status_code == 200
    texts = [re.sub(r'value="[^"]*"', "", html_of(response)) for response in (known, unknown)]
    assert texts[0] == texts[1]


@pytest.mark.parametrize("phone", ["\0", "a\r\nInjected: 1", "x" * 10_000, "' OR 1=1 --", ""])
def test_a_username_that_is_no_phone_is_a_failed_sign_in(
    client: Client, phone: str, caplog: pytest.LogCaptureFixture
) -> None:
    assert sign_in(client, phone).status_code == 200
    assert "Injected" not in caplog.text


def test_no_phone_of_staff_is_logged(
    client: Client, staff: User, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(6):
        sign_in(client, password="wrong")
    assert "Locking out staff_hash=" in caplog.text
    assert "912000999" not in caplog.text


# Another way in -----------------------------------------------------------------------------------


def test_a_code_from_the_mailbox_opens_no_admin(staff: User) -> None:
    visitor = Visitor(make_event())
    visitor.give_phone(PHONE)
    visitor.type_code(staff)
    assert visitor.browser.session[SESSION_KEY] == str(staff.pk)
    assert not is_inside(visitor.browser)
    assert visitor.get("/admin/second-factor/").status_code == 302


def test_a_password_without_powers_opens_no_admin(client: Client) -> None:
    account = make_account(phone="+351912000888")
    account.set_password(PASSWORD)
    account.save()
    assert sign_in(client, "912000888").status_code == 200
    assert not is_inside(client)


# Second factor ------------------------------------------------------------------------------------


def next_code(device: TOTPDevice) -> str:
    """Return the code of the period after the last used one."""
    return f"{hotp(device.bin_key, device.last_t + 1):06}"


def enrol(client: Client) -> list[str]:
    """Enrol as staff do, and return the backup codes."""
    client.get("/admin/second-factor/")
    device = TOTPDevice.objects.get(confirmed=False)
    page = client.post("/admin/second-factor/", {"code": f"{totp(device.bin_key):06}"})
    return re.findall(r"<code>(\w+)</code>", html_of(page))


@pytest.fixture
def backup_codes(second_factor: None, staff: User) -> list[str]:
    """The backup codes of a member of staff who has a second factor."""
    client = Client()
    sign_in(client)
    return enrol(client)


def test_admin_is_closed_until_a_device_is_confirmed(
    second_factor: None, client: Client, staff: User
) -> None:
    assert sign_in(client)["Location"] == "/admin/guests/guest/"
    closed = client.get("/admin/guests/guest/", follow=True)
    assert closed.redirect_chain[-1][0].startswith("/admin/second-factor/?next=")
    assert "otpauth" not in html_of(closed)
    assert "data:image/png;base64," in html_of(closed)
    assert "no-store" in closed["Cache-Control"]
    assert len(enrol(client)) == 10
    assert is_inside(client)


def test_the_password_alone_opens_nothing_once_there_is_a_device(
    client: Client, backup_codes: list[str]
) -> None:
    sign_in(client)
    assert not is_inside(client)
    page = client.get("/admin/second-factor/")
    assert "data:image" not in html_of(page)
    client.post("/admin/second-factor/", {"code": "000000"})
    assert not is_inside(client)
    assert TOTPDevice.objects.count() == 1


def test_a_code_opens_admin_once(client: Client, backup_codes: list[str]) -> None:
    sign_in(client)
    code = next_code(TOTPDevice.objects.get())
    response = client.post("/admin/second-factor/?next=/admin/guests/", {"code": code})
    assert response["Location"] == "/admin/guests/"
    assert is_inside(client)
    overheard = Client()
    sign_in(overheard)
    overheard.post("/admin/second-factor/", {"code": code})
    assert not is_inside(overheard)


@pytest.mark.parametrize("way", ["{}-{}", "{} {}", "{}\u2011{}", "\u202a{}\u202c.{}", "arabic"])
def test_a_code_opens_admin_as_it_was_pasted(
    client: Client, backup_codes: list[str], way: str
) -> None:
    sign_in(client)
    code = next_code(TOTPDevice.objects.get())
    arabic = "".join(chr(ord("٠") + int(digit)) for digit in code)
    typed = arabic if way == "arabic" else way.format(code[:3], code[3:])
    client.post("/admin/second-factor/", {"code": typed})
    assert is_inside(client)
    another = Client()
    sign_in(another)
    another.post("/admin/second-factor/", {"code": "-".join(backup_codes[0])})
    assert is_inside(another)


def test_a_backup_code_opens_admin_once(client: Client, backup_codes: list[str]) -> None:
    for is_first in (True, False):
        another = Client()
        sign_in(another)
        another.post("/admin/second-factor/", {"code": backup_codes[0].upper()})
        assert is_inside(another) == is_first
    assert StaticToken.objects.count() == 9


def test_codes_are_not_guessed(client: Client, backup_codes: list[str]) -> None:
    sign_in(client)
    for guess in range(3):
        client.post("/admin/second-factor/", {"code": f"{guess:06}"})
    right = next_code(TOTPDevice.objects.get())
    client.post("/admin/second-factor/", {"code": right})
    assert not is_inside(client), "after wrong codes the right one is throttled too"


def test_another_persons_code_opens_nothing(client: Client, backup_codes: list[str]) -> None:
    make_staff(phone="+351912000777")
    sign_in(client, "912000777")
    for code in (next_code(TOTPDevice.objects.get()), backup_codes[0]):
        client.post("/admin/second-factor/", {"code": code})
        assert not is_inside(client)


@pytest.mark.parametrize("where", ["//evil.example", "https://evil.example", "javascript:alert(1)"])
def test_signing_in_leads_nowhere_else(client: Client, backup_codes: list[str], where: str) -> None:
    first = client.post("/admin/login/", {"username": PHONE, "password": PASSWORD, "next": where})
    assert first["Location"] == "/admin/"
    code = next_code(TOTPDevice.objects.get())
    second = client.post("/admin/second-factor/", {"code": code, "next": where})
    assert second["Location"] == "/admin/"


# Sessions -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("since", "seen", "stays"),
    [(11, 1, True), (13, 0.5, False), (3, 2.5, False)],
)
def test_staff_sessions_end(
    client: Client, staff: User, since: float, seen: float, *, stays: bool
) -> None:
    sign_in(client)
    now = int(time.time())
    set_session(client, **{SINCE_KEY: now - since * HOUR, SEEN_KEY: now - seen * HOUR})
    assert is_inside(client) == stays


def test_a_new_password_asks_for_the_second_factor_again(
    client: Client, backup_codes: list[str]
) -> None:
    sign_in(client)
    client.post("/admin/second-factor/", {"code": backup_codes[0]})
    assert is_inside(client)
    sign_in(client)
    assert not is_inside(client)


def test_guests_sessions_last_for_thirty_days() -> None:
    visitor = Visitor(make_event())
    visitor.give_phone()
    visitor.register()
    assert visitor.browser.cookies["session"]["max-age"] == 30 * 24 * HOUR


def test_signing_out_ends_a_copied_cookie(client: Client, staff: User) -> None:
    sign_in(client)
    thief = Client()
    thief.cookies["session"] = client.cookies["session"].value
    assert is_inside(thief)
    client.post("/admin/logout/")
    assert not is_inside(thief)


def test_a_forged_session_does_not_open_admin(client: Client, staff: User) -> None:
    client.force_login(staff, backend=BACKEND)
    set_session(client, **{SINCE_KEY: int(time.time()), SEEN_KEY: int(time.time())})
    assert not is_inside(client)


# Queries for guests -------------------------------------------------------------------------------


def test_neither_axes_nor_otp_make_a_query_for_guests() -> None:
    account = make_account(phone="+351961234567")
    visitor = Visitor(make_event())
    with CaptureQueriesContext(connection) as queries:
        visitor.give_phone("961234567")
        visitor.type_code(account)
        visitor.look()
        visitor.browser.post("/sign-out/")
    assert SESSION_KEY not in visitor.browser.session
    statements = [query["sql"] for query in queries.captured_queries]
    assert len(statements) > 5
    assert not [sql for sql in statements if "axes" in sql or "otp" in sql]


def test_staff_without_the_right_permission_see_no_devices(
    client: Client, door_staff: User
) -> None:
    door_staff.user_permissions.add(Permission.objects.get(codename="view_user"))
    client.force_login(door_staff)
    assert client.get("/admin/accounts/authenticatorapp/").status_code == 403


def test_two_pages_at_once_enrol_one_device(
    second_factor: None, client: Client, staff: User
) -> None:
    """Two devices that one account has made by mistake do not break the page."""
    sign_in(client)
    TOTPDevice.objects.create(user=staff, confirmed=False, name="app")
    TOTPDevice.objects.create(user=staff, confirmed=False, name="app")
    assert client.get("/admin/second-factor/").status_code == 200
    device = TOTPDevice.objects.order_by("pk")[0]
    client.post("/admin/second-factor/", {"code": f"{totp(device.bin_key):06}"})
    assert is_inside(client)
