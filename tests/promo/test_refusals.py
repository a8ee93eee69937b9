"""The table of refusals has each code that can reach a person, and no other."""

import ast
from collections.abc import Iterator
from typing import Any

import pytest
from django.conf import settings

from guests.refusals import REFUSALS, visitor_refusals
from promo.api.schema import CachedSchemaGenerator

ERRORS = {"AccountError", "GuestError"}
# Codes that a variable holds where the error is raised, by file.
COMPUTED = {
    "accounts/services.py": {"refused", "email_taken"},
    # The states of a list that takes no requests, as Event.list_state() returns them.
    "guests/requests/accepting.py": {"not_open_yet", "closed"},
    # The refusal of a request that a list did not take.
    "guests/lists/services.py": set(),
    # Why a guest was not checked in.
    "guests/door/services.py": {"for_event_cancelled", "has_arrived", "not_on_list"},
    # The code of a ticket: its refusal, which one of the others is, or its state.
    "promo/api/responses.py": set(),
}
# States of a ticket without a place, which are rendered like refusals.
TICKET_STATES = {"cancelled", "unproven", "failed", "by_email", "registered_elsewhere"}
# The refusals of a ticket whose place has ended.
ENDED_PLACES = {"given_back", "moved_to_event"}
# The worker stores this code in the request instead of raising an error.
STORED = {"phone_on_list"}
# Errors of decisions about claims, which only staff make.
ADMIN_ONLY = {"claim_decided", "needs_superuser"}
# Errors of what staff do with the guests of a list.
LISTS_ONLY = {
    "check_in_off",
    "not_here",
    "not_on_list",
    "for_account_refused",
    "for_account_with_rights",
    "for_event_cancelled",
    "for_event_over",
    "has_arrived",
    "message_sent",
    "message_to_nobody",
    "no_room",
    "no_waiting_list",
    "not_cancelled",
    "not_placed",
    "on_list_already",
    "places_promised",
    "same_event",
}
# Refusals of claims, of changed emails, and of tickets from an emergency: no call of the API ends
# with them.
PAGES_AND_SOCKETS_ONLY = {
    "too_many_claims",
    "by_email",
    "registered_elsewhere",
    "same_email",
    "too_many_changes",
    "needs_proof",
}


def error_calls() -> Iterator[tuple[str, ast.expr]]:
    """Yield the file and the code's expression of each error that is created."""
    for app in ("accounts", "guests", "promo"):
        for path in sorted((settings.BASE_DIR / app).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Call) and ast.unparse(node.func) in ERRORS:
                    yield str(path.relative_to(settings.BASE_DIR)), node.args[0]


def test_the_table_has_the_codes_that_can_be_raised_and_no_others() -> None:
    raised, files_with_variables = set(), set()
    for path, code in error_calls():
        if isinstance(code, ast.Constant):
            raised.add(code.value)
        else:
            files_with_variables.add(path)
    assert files_with_variables == set(COMPUTED)
    assert set(REFUSALS) == raised.union(*COMPUTED.values(), TICKET_STATES, ENDED_PLACES, STORED)


def test_the_refusals_of_decisions_about_claims_reach_only_staff() -> None:
    codes_for_visitors = {refusal.code for refusal in visitor_refusals()}
    assert set(REFUSALS) - codes_for_visitors == ADMIN_ONLY | LISTS_ONLY


@pytest.mark.parametrize("code", REFUSALS)
def test_a_refusal_about_a_field_has_a_status_for_bad_fields(code: str) -> None:
    refusal = REFUSALS[code]
    assert 400 <= refusal.status < 500
    if refusal.field:
        assert refusal.status in {400, 409}


def documented_errors() -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the status and the body of each example of an error in the schema."""
    schema = CachedSchemaGenerator().get_schema(public=True)  # type: ignore[no-untyped-call]
    for methods in schema["paths"].values():
        for operation in methods.values():
            for status, response in operation["responses"].items():
                content = response["content"]["application/json"]
                for example in content.get("examples", {}).values():
                    yield status, example["value"]


def test_the_schema_has_an_example_of_each_refusal_with_its_status() -> None:
    documented = set()
    for status, body in documented_errors():
        refusal = REFUSALS.get(body["code"])
        if refusal:
            assert status == str(refusal.status)
            documented.add(refusal.code)
    assert documented == set(REFUSALS) - PAGES_AND_SOCKETS_ONLY - ADMIN_ONLY - LISTS_ONLY
