"""Limits of signing in to admin: by address, by account, and for known browsers of staff."""

import pytest
from axes.models import AccessAttempt
from django.test import Client
from pytest_django import Settings

from accounts.models import User
from tests.factories import make_event, make_staff
from tests.helpers.admin import sign_in
from tests.helpers.images import image_bytes, upload
from tests.helpers.visitors import Visitor

PHONE, PASSWORD = "+351912000999", "a long password"


@pytest.fixture
def staff(db: None) -> User:
    return make_staff(phone=PHONE)


@pytest.fixture(autouse=True)
def _default_limit(settings: Settings) -> None:
    settings.LIMIT_SIGN_IN = 20


def random_phones(number: int) -> list[str]:
    return [f"+3519130{index:05}" for index in range(number)]


def test_a_stranger_behind_the_same_address_does_not_lock_out_known_browsers_of_staff(
    staff: User, settings: Settings
) -> None:
    settings.STAFF_SIGN_IN_FAILURES = 15
    ended_by = {"/sign-out/": Client(), "/admin/logout/": Client()}
    for path, known in ended_by.items():
        assert sign_in(known, PHONE, PASSWORD).status_code == 302
        known.post(path)
    stranger, newcomer = Client(), Client()
    statuses = [sign_in(stranger, phone).status_code for phone in random_phones(40)]
    assert statuses[-1] == 429
    assert sign_in(newcomer, PHONE, PASSWORD).status_code == 429
    for known in ended_by.values():
        assert sign_in(known, PHONE, PASSWORD).status_code == 302


def test_a_stranger_does_not_block_the_second_factor_of_staff(
    staff: User, settings: Settings
) -> None:
    settings.LIMIT_SIGN_IN, settings.STAFF_SECOND_FACTOR = 5, True
    colleague, stranger = Client(), Client()
    assert sign_in(colleague, PHONE, PASSWORD).status_code == 302
    statuses = [stranger.post("/admin/second-factor/").status_code for _ in range(6)]
    assert statuses[-1] == 429
    assert colleague.post("/admin/second-factor/", {"code": "123456"}).status_code == 200


@pytest.mark.slow
def test_a_known_browser_of_staff_has_a_limit_as_well(staff: User, settings: Settings) -> None:
    settings.LIMIT_SIGN_IN = 1000
    known, copy = Client(), Client(REMOTE_ADDR="203.0.113.9")
    sign_in(known, PHONE, PASSWORD)
    known.post("/admin/logout/")
    copy.cookies["session"] = known.cookies["session"].value
    statuses = [sign_in(known, phone).status_code for phone in random_phones(20)]
    statuses += [sign_in(copy, phone).status_code for phone in random_phones(12)]
    assert statuses == [200] * 30 + [429] * 2
    settings.STAFF_SIGN_IN_FAILURES, settings.LIMIT_SIGN_IN = 1000, 5
    another = Client()
    sign_in(another, PHONE, PASSWORD)
    statuses = [sign_in(another, phone).status_code for phone in random_phones(6)]
    assert statuses == [200] * 5 + [429]


def test_the_browser_of_a_guest_is_no_known_browser_of_staff(
    staff: User, settings: Settings
) -> None:
    settings.LIMIT_SIGN_IN = 3
    guest = Visitor(make_event())
    guest.give_phone()
    guest.register()
    statuses = [sign_in(guest.browser, phone).status_code for phone in random_phones(4)]
    assert statuses == [200] * 3 + [429]


def test_few_passwords_of_one_address_are_hashed_a_minute(staff: User, settings: Settings) -> None:
    settings.STAFF_SIGN_IN_FAILURES = 1000
    attacker, colleague = Client(REMOTE_ADDR="203.0.113.9"), Client(REMOTE_ADDR="203.0.113.10")
    responses = [sign_in(attacker, phone) for phone in random_phones(30)]
    assert [response.status_code for response in responses] == [200] * 20 + [429] * 10
    assert int(responses[-1]["Retry-After"]) <= 65
    # axes writes a row for each password that was compared.
    assert AccessAttempt.objects.count() == 20
    assert sign_in(colleague, PHONE, PASSWORD).status_code == 302
    assert attacker.get("/promo/").status_code == attacker.get("/admin/login/").status_code == 200


def test_an_ipv6_network_counts_as_one_address(staff: User) -> None:
    last = 200
    for index, phone in enumerate(random_phones(21)):
        client = Client(REMOTE_ADDR=f"2001:db8::{index + 1:x}")
        last = sign_in(client, phone).status_code
    assert last == 429


def test_an_address_that_tries_many_phones_is_locked_out(staff: User, settings: Settings) -> None:
    settings.LIMIT_SIGN_IN = 1000
    attacker, colleague = Client(REMOTE_ADDR="203.0.113.9"), Client(REMOTE_ADDR="203.0.113.10")
    statuses = [sign_in(attacker, phone).status_code for phone in random_phones(31)]
    assert statuses == [200] * 30 + [429]
    refused = sign_in(attacker, PHONE, PASSWORD)
    assert refused.status_code == 429
    assert 800 < int(refused["Retry-After"]) <= 900
    assert sign_in(colleague, PHONE, PASSWORD).status_code == 302
    visitor = Visitor(make_event())
    visitor.browser.defaults["REMOTE_ADDR"] = "203.0.113.9"
    visitor.give_phone()
    assert visitor.register().status_code == 303


@pytest.mark.parametrize("path", ["/admin/password_change/", "/admin/accounts/user/{pk}/password/"])
def test_other_forms_with_passwords_count_as_well(staff: User, path: str) -> None:
    client = Client()
    client.force_login(staff)
    passwords = dict.fromkeys(("old_password", "new_password1", "password1"), "x")
    where = path.format(pk=staff.pk)
    statuses = [client.post(where, passwords).status_code for _ in range(21)]
    assert statuses == [200] * 20 + [429]


def test_codes_of_authenticator_apps_count_as_well(staff: User, settings: Settings) -> None:
    settings.STAFF_SECOND_FACTOR = True
    client = Client()
    client.force_login(staff)
    code = {"code": "000000"}
    statuses = [client.post("/admin/second-factor/", code).status_code for _ in range(21)]
    assert statuses == [200] * 20 + [429]


@pytest.mark.slow
def test_few_images_of_one_account_are_decoded_a_minute(staff: User) -> None:
    client = Client()
    client.force_login(staff)
    event = make_event()
    statuses = [
        client.post(
            f"/admin/guests/event/{event.pk}/change/", {"poster": upload(image_bytes())}
        ).status_code
        for _ in range(12)
    ]
    assert statuses == [200] * 10 + [429] * 2
