"""The OpenAPI schema, checked by an independent tester: every response conforms to it."""

from typing import Any

import httpx
import pytest
import schemathesis
from django.conf import settings as config
from hypothesis import HealthCheck, given, settings
from playwright.sync_api import Page, expect
from schemathesis.checks import not_a_server_error
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from accounts.models import User
from guests.models import Event, GuestRequest
from tests.factories import make_account, make_event, make_guest, make_request
from tests.helpers.browser import shoot, watched
from tests.helpers.sessions import session_of
from tests.helpers.stack import Stack

pytestmark = pytest.mark.processes

TOKEN = "t" * 32
CALLS = {
    "/api/events": "GET",
    "/api/client-auth-v2/check-phone": "POST",
    "/api/client-auth/login": "POST",
    "/api/client-auth/register": "POST",
    "/api/client-auth/guests/create": "POST",
    "/api/client-auth/guests/create-async": "POST",
    "/api/client-auth/guests/requests/{ticket_id}": "GET",
}
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    negative_data_rejection,
]


@pytest.fixture
def schema(stack: Stack) -> Any:
    return schemathesis.openapi.from_url(f"{stack.url}/api/schema/?format=json")


def cookies_of(account: User | None) -> dict[str, str]:
    cookies = {config.CSRF_COOKIE_NAME: TOKEN}
    if account:
        cookies[config.SESSION_COOKIE_NAME] = session_of(account)
    return cookies


def fill_in(body: dict[str, Any], event: Event, phone: str) -> None:
    """Put things that exist into a generated body, and a phone that could exist."""
    known: dict[str, Any] = {
        "event_id": event.pk,
        "client_user_id": "",
        "promoter_id": None,
        "team_id": None,
        "phone": phone,
        "firstName": "Rui",
        "lastName": "Exemplo",
        "email": "rui@example.com",
    }
    for name in known.keys() & body.keys():
        body[name] = known[name]


def test_every_call_is_in_the_schema(schema: Any) -> None:
    documented = {}
    for result in schema.get_all_operations():
        operation = result.ok()
        documented[operation.path] = operation.method.upper()
    assert documented == CALLS


@pytest.mark.parametrize("mode", GenerationMode)
@pytest.mark.parametrize("path", CALLS)
def test_every_response_is_in_the_schema(
    schema: Any, stack: Stack, path: str, mode: GenerationMode
) -> None:
    """Data that conform to the schema are sent, and data that do not, which must be refused.

    The calls are made as a guest, as an account without a place, and without an account. A status
    that is left out of promo/api/schema.py makes the test fail.
    """
    if path == "/api/events" and mode is GenerationMode.NEGATIVE:
        pytest.skip("nothing is sent to it that could be wrong")
    event = make_event()
    guest, other = make_guest(event).account, make_account()
    tickets = [GuestRequest.objects.get().ticket_id, make_request(event, other).ticket_id]
    jars = [cookies_of(guest), cookies_of(other), cookies_of(None)]
    statuses: list[int] = []

    @settings(
        max_examples=25,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(case=schema[path][CALLS[path]].as_strategy(generation_mode=mode))
    def ask(case: schemathesis.Case[Any]) -> None:
        turn = len(statuses)
        if mode is GenerationMode.POSITIVE and turn % 2:
            if isinstance(case.body, dict):
                fill_in(case.body, event, f"+35192700{turn:04}")
            if "ticket_id" in case.path_parameters:
                case.path_parameters["ticket_id"] = str(tickets[turn % 3 % 2])
        response = case.call_and_validate(
            base_url=stack.url,
            headers={"X-CSRFToken": TOKEN},
            cookies=jars[turn % 3],
            checks=CHECKS,
        )
        statuses.append(response.status_code)

    ask()
    can_succeed = mode is GenerationMode.POSITIVE and path != "/api/client-auth/login"
    assert (min(statuses) < 300) == can_succeed


def test_an_account_cannot_reach_the_data_of_another(stack: Stack) -> None:
    """Every call that takes an id gives an account its own data, and none of the other account."""
    event = make_event()
    guests = [make_guest(event), make_guest(event)]
    requests = [guests[0].guestrequest_set.get(), guests[1].guestrequest_set.get()]
    for mine, other in ((0, 1), (1, 0)):
        with httpx.Client(
            base_url=stack.url,
            cookies=cookies_of(guests[mine].account),
            headers={"X-CSRFToken": TOKEN},
        ) as client:
            tickets = "/api/client-auth/guests/requests"
            own = client.get(f"{tickets}/{requests[mine].ticket_id}")
            assert own.json()["data"]["id"] == guests[mine].pk
            foreign = client.get(f"{tickets}/{requests[other].ticket_id}")
            assert foreign.status_code == 404
            place = client.post(
                "/api/client-auth/guests/create",
                json={"event_id": event.pk, "client_user_id": str(guests[other].account_id)},
            )
            assert (place.status_code, place.json()["code"]) == (403, "not_yours")
            known = client.post(
                "/api/client-auth-v2/check-phone", json={"phone": guests[other].phone}
            )
            assert known.json()["userId"] is None
            for response in (foreign, place, known):
                assert str(guests[other].qr_token) not in response.text
                assert guests[other].name not in response.text


@pytest.mark.browser
def test_the_documentation_is_readable_under_the_content_security_policy(
    stack: Stack, page: Page
) -> None:
    errors = watched(page)
    page.goto("/api/docs/")
    expect(page.get_by_text("Ask for a place, and follow the ticket")).to_be_visible()
    page.get_by_text("Ask for a place, and follow the ticket").click()
    expect(page.get_by_text("Idempotency-Key").first).to_be_visible()
    shoot(page, "api-docs")
    assert errors == []
