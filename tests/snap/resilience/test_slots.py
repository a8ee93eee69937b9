"""Floods of passwords to hash and images to decode."""

import statistics
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from axes.models import AccessAttempt
from django.conf import settings as the_settings
from django.test import Client
from pytest_django import Settings

from accounts.models import User
from snap import settings as production
from snap.local.processes import BASE_DIR
from snap.resilience.slots import BusyError, Slots
from tests.factories import make_event, make_staff
from tests.helpers.images import image_bytes, upload
from tests.helpers.stack import Stack, http, wait_for
from tests.helpers.visitors import Visitor

PHONE, PASSWORD = "+351912000999", "a long password"
BOUNDED = ["accounts.hashers.BoundedPasswordHasher"]


@pytest.fixture
def staff(db: None) -> User:
    return make_staff(phone=PHONE)


@pytest.fixture(autouse=True)
def usual_limit(settings: Settings) -> None:
    settings.LIMIT_SIGN_IN = 20


def sign_in(client: Client, phone: str = PHONE, password: str = "wrong") -> Any:
    return client.post("/admin/login/", {"username": phone, "password": password})


def random_phones(number: int) -> list[str]:
    return [f"+3519130{index:05}" for index in range(number)]


# A stranger and staff behind one address ---------------------------------------------------------


def test_a_stranger_behind_the_same_address_does_not_lock_out_known_browsers_of_staff(
    staff: User, settings: Settings
) -> None:
    settings.STAFF_SIGN_IN_FAILURES = 15
    ended_by = {"/sign-out/": Client(), "/admin/logout/": Client()}
    for path, known in ended_by.items():
        assert sign_in(known, password=PASSWORD).status_code == 302
        known.post(path)
    stranger, newcomer = Client(), Client()
    answers = [sign_in(stranger, phone).status_code for phone in random_phones(40)]
    assert answers[-1] == 429
    assert sign_in(newcomer, password=PASSWORD).status_code == 429
    for known in ended_by.values():
        assert sign_in(known, password=PASSWORD).status_code == 302


def test_a_stranger_does_not_block_the_second_factor_of_staff(
    staff: User, settings: Settings
) -> None:
    settings.LIMIT_SIGN_IN, settings.STAFF_SECOND_FACTOR = 5, True
    colleague, stranger = Client(), Client()
    assert sign_in(colleague, password=PASSWORD).status_code == 302
    answers = [stranger.post("/admin/second-factor/").status_code for _ in range(6)]
    assert answers[-1] == 429
    assert colleague.post("/admin/second-factor/", {"code": "123456"}).status_code == 200


def test_a_known_browser_of_staff_has_a_limit_as_well(staff: User, settings: Settings) -> None:
    settings.LIMIT_SIGN_IN = 1000
    known, copy = Client(), Client(REMOTE_ADDR="203.0.113.9")
    sign_in(known, password=PASSWORD)
    known.post("/admin/logout/")
    copy.cookies["session"] = known.cookies["session"].value
    answers = [sign_in(known, phone).status_code for phone in random_phones(20)]
    answers += [sign_in(copy, phone).status_code for phone in random_phones(12)]
    assert answers == [200] * 30 + [429] * 2
    settings.STAFF_SIGN_IN_FAILURES, settings.LIMIT_SIGN_IN = 1000, 5
    another = Client()
    sign_in(another, password=PASSWORD)
    answers = [sign_in(another, phone).status_code for phone in random_phones(6)]
    assert answers == [200] * 5 + [429]


def test_the_browser_of_a_guest_is_no_known_browser_of_staff(
    staff: User, settings: Settings
) -> None:
    settings.LIMIT_SIGN_IN = 3
    guest = Visitor(make_event())
    guest.give_phone()
    guest.register()
    answers = [sign_in(guest.browser, phone).status_code for phone in random_phones(4)]
    assert answers == [200] * 3 + [429]


# By address --------------------------------------------------------------------------------------


def test_few_passwords_of_one_address_are_hashed_a_minute(staff: User, settings: Settings) -> None:
    settings.STAFF_SIGN_IN_FAILURES = 1000
    attacker, colleague = Client(REMOTE_ADDR="203.0.113.9"), Client(REMOTE_ADDR="203.0.113.10")
    answers = [sign_in(attacker, phone) for phone in random_phones(30)]
    assert [response.status_code for response in answers] == [200] * 20 + [429] * 10
    assert int(answers[-1]["Retry-After"]) <= 65
    # axes writes a row for each password that was compared.
    assert AccessAttempt.objects.count() == 20
    assert sign_in(colleague, password=PASSWORD).status_code == 302
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
    answers = [sign_in(attacker, phone).status_code for phone in random_phones(31)]
    assert answers == [200] * 30 + [429]
    refused = sign_in(attacker, password=PASSWORD)
    assert refused.status_code == 429
    assert 800 < int(refused["Retry-After"]) <= 900
    assert sign_in(colleague, password=PASSWORD).status_code == 302
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


# On this host ------------------------------------------------------------------------------------

HOLD = """
import os, sys, time
os.environ["DJANGO_SETTINGS_MODULE"] = "snap.settings"
import django
django.setup()
from snap.resilience.slots import Slots
with Slots(sys.argv[1], 1).hold_one():
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def holder(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    """Another process that holds a slot with the name of the parameter."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, request.param], cwd=BASE_DIR, stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"held\n"
    yield process
    process.kill()
    process.communicate()


@pytest.mark.parametrize("holder", ["trial"], indirect=True)
def test_processes_share_slots_and_a_killed_process_frees_its_slot(holder: Any) -> None:
    slots = Slots("trial", 1, timeout=0.2)
    with pytest.raises(BusyError), slots.hold_one():
        pytest.fail("two hold one slot")
    holder.kill()
    holder.wait()
    with slots.hold_one(), pytest.raises(BusyError), slots.hold_one():
        pytest.fail("two threads hold one slot")


def test_few_of_many_threads_wait_for_a_slot() -> None:
    slots = Slots("crowd", 1, waiters=2, timeout=5.0)

    def work(_: int) -> float:
        began = time.monotonic()
        try:
            with slots.hold_one():
                time.sleep(0.3)
                return 0.0
        except BusyError:
            return time.monotonic() - began

    with ThreadPoolExecutor(24) as pool:
        waits = list(pool.map(work, range(24)))
    refused = [wait for wait in waits if wait]
    assert len(refused) == 22
    assert max(refused) < 0.2


@pytest.mark.parametrize("holder", ["hash"], indirect=True)
def test_a_sign_in_without_a_free_slot_is_a_503(
    holder: Any, client: Client, staff: User, settings: Settings
) -> None:
    settings.PASSWORD_HASHERS = BOUNDED
    for phone in (PHONE, "+351913000001"):
        response = sign_in(client, phone)
        assert response.status_code == 503
        assert response["Retry-After"]
        assert "wrong" not in response.content.decode(), "the page repeats the password"
    assert client.get("/promo/").status_code == 200


@pytest.mark.parametrize("holder", ["image"], indirect=True)
def test_an_image_without_a_free_slot_is_not_decoded(
    holder: Any, client: Client, staff: User
) -> None:
    client.force_login(staff)
    event = make_event()
    form = {"poster": upload(image_bytes())}
    assert client.post(f"/admin/guests/event/{event.pk}/change/", form).status_code == 503


def test_every_hasher_of_production_is_bounded() -> None:
    assert production.PASSWORD_HASHERS == BOUNDED
    assert the_settings.SLOTS_DIR.name == "slots"


# In the real processes ---------------------------------------------------------------------------


def flood(url: str, seconds: float, connections: int = 24) -> tuple[list[int], list[float]]:
    """Send passwords for random phones over many connections.

    Return the statuses, and the seconds that a page took meanwhile.
    """
    end = time.monotonic() + seconds
    with httpx.Client() as page:
        page.get(f"{url}/admin/login/")
        token = page.cookies["csrf"]

    def attack(number: int) -> list[int]:
        statuses = []
        with httpx.Client(cookies={"csrf": token}, timeout=30) as client:
            while time.monotonic() < end:
                form = {
                    "username": f"+35191{number:07}",
                    "password": "wrong",
                    "csrfmiddlewaretoken": token,
                }
                statuses.append(client.post(f"{url}/admin/login/", data=form).status_code)
        return statuses

    times = []
    with ThreadPoolExecutor(connections) as pool:
        attackers = [pool.submit(attack, number) for number in range(connections)]
        time.sleep(0.5)
        while time.monotonic() < end:
            began = time.monotonic()
            assert http.get(f"{url}/promo/", timeout=30).status_code == 200
            times.append(time.monotonic() - began)
            time.sleep(0.1)
        statuses = [status for attacker in attackers for status in attacker.result()]
    return statuses, times


@pytest.mark.processes
def test_a_flood_of_passwords_does_not_slow_the_pages_of_visitors(stack: Stack) -> None:
    with stack.another_web(LIMIT_SIGN_IN="1000000", STAFF_SIGN_IN_FAILURES="1000000") as url:
        statuses, times = flood(url, 3)
    assert 503 in statuses
    assert set(statuses) <= {200, 429, 503}
    # Two of eight threads hash or wait. The attacker does not get the others.
    assert statistics.median(times) < 1.0
    wait_for(lambda: http.get(f"{stack.url}/healthz").status_code == 200)


@pytest.mark.parametrize("holder", ["image"], indirect=True)
def test_an_upload_by_staff_without_permission_is_not_decoded(
    holder: Any, client: Client, door_staff: User
) -> None:
    client.force_login(door_staff)
    event = make_event()
    form = {"poster": upload(image_bytes())}
    assert client.post(f"/admin/guests/event/{event.pk}/change/", form).status_code == 403
