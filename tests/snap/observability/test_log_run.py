"""The logs of all real processes over a run with errors and an outage, in both formats."""

from collections.abc import Iterator
from contextlib import closing, suppress

import httpx
import pytest
from django.db import connection

from guests.models import GuestRequest
from tests.factories import make_event
from tests.helpers import servers
from tests.helpers.log_lines import find_secrets, read_ecs
from tests.helpers.log_run import LATE, LATE_REQUEST_ID, REQUEST_ID, LoggedRun
from tests.helpers.own_servers import own_postgresql
from tests.helpers.stack import Stack, wait_for

pytestmark = [pytest.mark.processes, pytest.mark.slow]

PROCESSES = ("web", "ws", "worker", "emails", "sweeper")


@pytest.fixture
def logging_stack(stack: Stack, request: pytest.FixtureRequest) -> Iterator[Stack]:
    """All processes, restarted with a LOG_FORMAT. Their logs begin there."""
    own_postgresql()
    servers.empty_journal()
    given = {"LOG_FORMAT": request.param, "LOG_LEVEL": "DEBUG"}
    stack.restart(*PROCESSES, **given, TRUSTED_PROXIES="1", METRICS_TOKEN="x" * 9)
    yield stack
    connection.close()
    servers.freshen()
    stack.restart(*PROCESSES)


def logs_of(stack: Stack) -> dict[str, str]:
    return {name: stack.new_log(name) for name in PROCESSES}


def run_everything(stack: Stack) -> LoggedRun:
    with closing(LoggedRun(stack, make_event())) as run:
        run.visit()
        run.sign_in_wrongly()
        run.ask_oddly()
        run.work_in_admin()
        run.meet_errors()
        run_through_an_outage(run)
        for name in PROCESSES:
            stack.stop(name)
    return run


def run_through_an_outage(run: LoggedRun) -> None:
    """Kill PostgreSQL under a request. It is accepted at level 3, and drained afterwards."""
    with closing(LoggedRun(run.stack, run.event)) as late:
        late.browser.get(f"/promo/{run.event.slug}/")
        late.register(LATE)
        own_postgresql().stop("immediate")
        connection.close()
        with closing(LoggedRun(run.stack, run.event)) as unknown:
            unknown.register(LATE)
        run.late_ticket_id = wait_for(lambda: ticket_at_level_3(late), 30)
        own_postgresql().start()
    drained = GuestRequest.objects.filter(ticket_id=run.late_ticket_id, state="created")
    wait_for(drained.exists, 30)


def ticket_at_level_3(late: LoggedRun) -> str:
    """Ask for a place. Return the ticket of a request that is in the journal, "" for none."""
    with suppress(httpx.TransportError):
        asked = late.request_place(**{"X-Request-ID": LATE_REQUEST_ID})
        if asked.status_code == httpx.codes.ACCEPTED:
            return str(asked.json()["ticketId"])
    return ""


@pytest.mark.parametrize("logging_stack", ["ecs"], indirect=True)
@pytest.mark.timeout(400)
def test_an_elk_stack_takes_every_line_and_finds_a_request_in_all_processes(
    logging_stack: Stack,
) -> None:
    run = run_everything(logging_stack)
    logs = logs_of(logging_stack)
    lines = {}
    for name, text in logs.items():
        lines[name] = [read_ecs(line) for line in text.splitlines()]
        assert lines[name], name
    assert {each: find_secrets(text, run.secrets) for each, text in logs.items()} == {
        each: [] for each in logs
    }
    for name in ("web", "ws", "worker", "emails"):
        about = [each for each in lines[name] if each.get("snap.ticket_id") == run.ticket_id]
        assert about, f"{name} has no line about the ticket"
    assert run.request_id == REQUEST_ID
    for name in ("web", "worker", "emails"):
        found = [each for each in lines[name] if each.get("http.request.id") == run.request_id]
        assert found, f"{name} has no line of the request"
    for name, event in (
        ("web", "guest_request_journalled"),
        ("sweeper", "entry_drained"),
        ("worker", "guest_request_ended"),
        ("emails", "email_sent"),
    ):
        about = [each for each in lines[name] if each.get("event.action") == event]
        ids = {(each.get("http.request.id"), each.get("snap.ticket_id")) for each in about}
        assert (LATE_REQUEST_ID, run.late_ticket_id) in ids, name
    for name in PROCESSES:
        assert {each["process.name"] for each in lines[name]} == {name}
    statuses = {each.get("http.response.status_code") for each in lines["web"]}
    assert {200, 201, 202, 404, 500} <= statuses
    assert [each for each in lines["web"] if "error.stack_trace" in each]


@pytest.mark.parametrize("logging_stack", ["plain"], indirect=True)
@pytest.mark.timeout(400)
def test_readable_lines_have_no_personal_data(logging_stack: Stack) -> None:
    run = run_everything(logging_stack)
    logs = logs_of(logging_stack)
    assert {each: find_secrets(text, run.secrets) for each, text in logs.items()} == {
        each: [] for each in logs
    }
    assert f"request_id={REQUEST_ID}" in logs["emails"]
    assert "Traceback (most recent call last)" in logs["web"]
