"""Slots of a host for expensive work, and floods of passwords and images."""

import statistics
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from django.conf import settings as the_settings
from django.test import Client
from pytest_django import Settings

from accounts.models import User
from snap import settings as production
from snap.local.processes import BASE_DIR
from snap.resilience.slots import BusyError, Slots
from tests.factories import make_event
from tests.helpers.admin import sign_in
from tests.helpers.images import image_bytes, upload
from tests.helpers.stack import Stack, http, wait_for

BOUNDED = ["accounts.hashers.BoundedPasswordHasher"]


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
    holder: Any, client: Client, manager: User, settings: Settings
) -> None:
    settings.PASSWORD_HASHERS = BOUNDED
    for phone in (manager.phone or "", "+351913000001"):
        response = sign_in(client, phone)
        assert response.status_code == 503
        assert response["Retry-After"]
        assert "wrong" not in response.content.decode(), "the page repeats the password"
    assert client.get("/promo/").status_code == 200


@pytest.mark.parametrize("holder", ["image"], indirect=True)
def test_an_image_without_a_free_slot_is_not_decoded(
    holder: Any, client: Client, manager: User
) -> None:
    client.force_login(manager)
    event = make_event()
    form = {"poster": upload(image_bytes())}
    assert client.post(f"/admin/guests/event/{event.pk}/change/", form).status_code == 503


def test_every_hasher_of_production_is_bounded() -> None:
    assert production.PASSWORD_HASHERS == BOUNDED
    assert the_settings.SLOTS_DIR.name == "slots"


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


@pytest.mark.slow
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
