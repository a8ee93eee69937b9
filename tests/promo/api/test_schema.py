"""The served schema is true, as an independent tester finds: no 5xx, no answer it does not name."""

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
from guests.models import GuestRequest
from tests.browser.test_journey import shoot, watched
from tests.factories import make_account, make_event, make_guest, make_request
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
    signed_in = {config.SESSION_COOKIE_NAME: session_of(account)} if account else {}
    return {config.CSRF_COOKIE_NAME: TOKEN, **signed_in}


def test_every_call_is_in_the_schema(schema: Any) -> None:
    served = {
        result.ok().path: result.ok().method.upper() for result in schema.get_all_operations()
    }
    assert served == CALLS


@pytest.mark.parametrize("mode", GenerationMode)
@pytest.mark.parametrize("path", CALLS)
def test_no_call_gives_an_answer_that_the_schema_does_not_name(
    schema: Any, stack: Stack, path: str, mode: GenerationMode
) -> None:
    """Data that fit the schema, and data that do not: those must be refused.

    It asks as nobody, as somebody with a place and as somebody without one. Leave a status out of
    promo/api_schema.py to see it fail.
    """
    if path == "/api/events" and mode is GenerationMode.NEGATIVE:
        pytest.skip("nothing is sent to it that could be wrong")
    event = make_event()
    people = [make_guest(event).account, make_account(), None]
    tickets = [GuestRequest.objects.get().ticket_id, make_request(event, people[1]).ticket_id]
    jars = [cookies_of(account) for account in people]
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
            # Now and then what it cannot guess: things that exist, and phones that could.
            known: dict[str, Any] = {
                "event_id": event.pk,
                "client_user_id": "",
                "promoter_id": None,
                "team_id": None,
                "phone": f"+35192700{turn:04}",
                "firstName": "Rui",
                "lastName": "Exemplo",
                "email": "rui@example.com",
            }
            if isinstance(case.body, dict):
                case.body |= {name: known[name] for name in known if name in case.body}
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
    succeeded = any(status < 300 for status in statuses)
    assert succeeded == (mode is GenerationMode.POSITIVE and path != "/api/client-auth/login")


def test_what_is_somebody_elses_is_not_there_for_another(stack: Stack) -> None:
    """With two accounts: each has its own, by every call that takes an id, and nothing else."""
    event = make_event()
    guests = [make_guest(event), make_guest(event)]
    requests = [guest.guestrequest_set.get() for guest in guests]
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
