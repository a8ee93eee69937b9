"""A 503 says that nothing was kept only when that is known."""

from typing import Any

import pytest
from django.test import Client
from pytest_django import Settings

from accounts.models import User
from tests.factories import make_account, make_event
from tests.faults.breaking import commits_held
from tests.helpers.api import CREATE_ASYNC, LOGIN, REGISTER
from tests.helpers.outages import open_breaker
from tests.helpers.own_servers import needs_own_postgresql, own_postgresql
from tests.helpers.sessions import sign_in
from tests.helpers.stack import wait_for
from tests.helpers.visitors import PHONE, signed_step

pytestmark = [needs_own_postgresql, pytest.mark.usefixtures("stoppable_database")]

PERSON = {"firstName": "Inês", "lastName": "Exemplo", "phone": PHONE, "email": "i@example.com"}
UNSURE = "look before you send it again"
ENGLISH = {"accept-language": "en"}


def post(client: Client, path: str, body: Any) -> Any:
    return client.post(path, body, content_type="application/json", headers=ENGLISH)


@pytest.fixture(autouse=True)
def _short_wait(settings: Settings) -> None:
    settings.DATABASE_REQUEST_SECONDS = 0.5


def test_the_api_does_not_know_whether_a_lost_commit_stored_the_account(client: Client) -> None:
    with commits_held(own_postgresql()):
        response = post(client, REGISTER, PERSON)
    assert (response.status_code, response.json()["code"]) == (503, "unavailable")
    assert UNSURE in response.json()["error"]
    # PostgreSQL ends the commit a moment after it is released.
    wait_for(User.objects.filter(phone=PHONE).exists)


def test_a_step_does_not_know_whether_a_lost_commit_stored_the_code(client: Client) -> None:
    event = make_event(requires_proof=True)
    account = make_account()
    sign_in(client, account)
    page = client.get(f"/promo/{event.slug}/-/prove/")
    with commits_held(own_postgresql()):
        response = client.post(f"/promo/{event.slug}/-/prove/", signed_step(page), headers=ENGLISH)
    assert response.status_code == 503
    assert UNSURE in response.content.decode()
    wait_for(account.login_codes.exists)


def test_a_request_that_is_neither_in_the_database_nor_in_the_journal_may_be_stored(
    client: Client, settings: Settings
) -> None:
    event = make_event()
    sign_in(client, make_account())
    settings.JOURNAL_PATH.unlink(missing_ok=True)
    settings.JOURNAL_PATH.mkdir()
    with commits_held(own_postgresql()):
        response = post(client, CREATE_ASYNC, {"event_id": event.pk})
    assert response.status_code == 503
    assert UNSURE in response.json()["error"]


@pytest.mark.parametrize("path", [LOGIN, REGISTER])
def test_nothing_was_stored_while_the_breaker_is_open(client: Client, path: str) -> None:
    with open_breaker():
        response = post(client, path, PERSON)
    assert response.status_code == 503
    assert UNSURE not in response.json()["error"]
    assert not User.objects.exists()
