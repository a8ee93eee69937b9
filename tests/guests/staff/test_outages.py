"""Pages of staff while PostgreSQL is away: what they say, and to whom."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.db import OperationalError, connection
from django.test import Client

from accounts.models import User
from guests.models import Guest
from snap.control import snapshot
from snap.local_cache import reset_process_state
from snap.models import Mode
from tests.helpers.admin import admin_client
from tests.helpers.visitors import html_of

pytestmark = pytest.mark.django_db

FOR_GUESTS = "QR codes that were given are safe"
COMES_BACK = "This page comes back by itself."
PATHS = ["/staff/", "/staff/nothing/", "/admin/", "/admin/guests/guest/"]


def fail(*query: Any) -> None:
    raise OperationalError("server closed the connection")


@contextmanager
def silent_database() -> Iterator[None]:
    """Have each query of this thread fail, as while PostgreSQL is away."""
    with connection.execute_wrapper(fail):
        yield


def english(client: Client) -> Client:
    client.cookies["language"] = "en"
    return client


@pytest.fixture
def staff(manager: User) -> Client:
    return english(admin_client(manager))


def unavailable_page(client: Client, path: str) -> str:
    response = client.get(path)
    assert response.status_code == 503
    assert int(response.headers["Retry-After"]) > 0
    assert "no-store" in response.headers["Cache-Control"]
    return html_of(response)


def test_staff_read_words_of_their_own(staff: Client) -> None:
    with silent_database():
        for path in PATHS:
            text = unavailable_page(staff, path)
            assert "The database does not answer" in text
            assert COMES_BACK in text
            assert 'http-equiv="refresh" content="5"' in text
            assert FOR_GUESTS not in text


def test_the_dashboard_says_what_is_known(staff: Client, guest: Guest) -> None:
    Mode.objects.filter(name="queue").update(is_on=True)
    staff.get("/staff/")
    snapshot.refresh()
    with silent_database():
        text = unavailable_page(staff, "/staff/")
    assert "Requests are kept, and end when it is back." in text
    assert "Queue mode: guests wait longer for their place than usual." in text
    # Permissions are in the database.
    assert guest.event.title not in text
    assert "The numbers are the last known ones." not in text
    assert staff.get("/staff/").status_code == 200


def test_a_process_that_has_just_started_says_it_too(staff: Client) -> None:
    with silent_database():
        reset_process_state()
        assert "The database does not answer" in unavailable_page(staff, "/staff/")


def test_guests_do_not_read_the_state_of_the_system(client: Client, guest: Guest) -> None:
    client.force_login(guest.account)
    Mode.objects.filter(name="queue").update(is_on=True)
    snapshot.refresh()
    with silent_database():
        assert "Queue mode" not in unavailable_page(english(client), "/staff/")
    assert english(Client()).get("/staff/").status_code == 302


def test_a_sign_in_during_an_outage_keeps_nothing_of_what_was_typed(manager: User) -> None:
    client = english(Client())
    typed = {"username": manager.email, "password": "correct horse"}
    with silent_database():
        response = client.post("/admin/login/", typed)
    text = html_of(response)
    assert response.status_code == 503
    assert "This cannot be done just now." in text
    assert COMES_BACK not in text
    for secret in typed.values():
        assert secret not in text
