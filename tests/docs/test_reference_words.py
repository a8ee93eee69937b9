"""docs/reference.md names every state, code, message, limit, task, sweep, email and metric."""

import ast
import re
from collections.abc import Iterator, Mapping
from itertools import product
from pathlib import Path
from typing import Any, get_args, get_type_hints, is_typeddict

import pytest
from django.core.management import get_commands
from django.db import models
from django.test import Client
from prometheus_client import REGISTRY

from accounts.models import Claim, User
from guests.models import Event, Guest, GuestRequest
from guests.place_status import OPENING_CODES, PlaceCode
from guests.refusals import visitor_refusals
from guests.requests.tickets import Ticket, TicketState
from guests.sweeps import SWEEPS
from notifications.kinds import known_kinds
from notifications.models import Email
from promo.api.errors import PERMISSION_CODES
from promo.sockets.messages import Message, ticket_message
from snap.api_errors import DEFAULT_ERRORS
from snap.celery import app
from snap.control.switches import EMAILS, known_switches
from snap.observability.health import service_level
from snap.observability.metrics import memory_of_processes
from tests import settings_reference
from tests.docs.reference_tables import ROOT, assert_same, codes_in, table_of, tables_with

APPS = {"snap", "promo", "guests", "accounts", "notifications"}
# Numbers that the page has to name, beside all of the settings' section on limits.
PROMISED = re.compile(
    r"(LOGIN_CODE|CLAIM|SUSPICIOUS|STAFF_SIGN_IN|STAFF_SESSION)\w*"
    r"|ACCOUNTS_PER_EMAIL|EMAILS_PER_RECIPIENT|(GUEST_REQUEST|EMAIL|JOURNAL)_(ATTEMPTS|BACKOFF)"
)


# States ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("section", "column", "choices"),
    [
        ("Request", "State", GuestRequest.State),
        ("Guest", "State", Guest.State),
        ("Email", "State", Email.State),
        ("Claim", "State", Claim.State),
        ("Event", "State", Event.Phase),
        ("Identity", "Proof", User.ProvenBy),
    ],
)
def test_every_state_is_on_the_page(
    section: str, column: str, choices: type[models.TextChoices]
) -> None:
    assert_same(section, table_of(section, column).codes(column), choices.values)


def test_every_state_of_a_list_is_on_the_page() -> None:
    assert_same("List", table_of("List", "State").codes("State"), Event.ListState.values)


def test_every_state_of_a_place_is_on_the_page() -> None:
    table = table_of("Place", "State")
    documented = [(codes_in(row["State"])[0], row[table.columns[1]]) for row in table.rows]
    in_code = [(code.value, "yes" if code in OPENING_CODES else "no") for code in PlaceCode]
    assert_same("Place", documented, in_code)


def ticket(state: TicketState, position: int | None = None) -> Ticket:
    return Ticket(
        ticket_id="0" * 32,
        state=state,
        event_slug="festa",
        event_title="Festa",
        venue="Sala",
        time_zone="Europe/Lisbon",
        starts_at="2026-11-27T22:00:00+00:00",
        name="",
        position=position,
    )


def test_every_state_of_a_ticket_is_on_the_page_with_its_message() -> None:
    documented = [
        (codes_in(row["State"])[0], row["Final"], codes_in(row["Message"])[0])
        for row in table_of("Ticket", "Message").rows
    ]
    in_code = []
    for state in TicketState:
        is_final = "yes" if ticket(state).is_final else "no"
        in_code.append((state.value, is_final, ticket_message(ticket(state), 1)["type"]))
    assert_same("Ticket", documented, in_code)


def test_every_message_of_a_websocket_is_on_the_page_with_its_fields() -> None:
    documented, in_code = [], set()
    for row in table_of("Websockets", "Message").rows:
        documented += [(codes_in(row["Message"])[0], field) for field in codes_in(row["Fields"])]
    for state in TicketState:
        plain, placed = ticket_message(ticket(state), 1), ticket_message(ticket(state, 7), 1)
        always = set(keys_of(plain)) & set(keys_of(placed))
        for key in {*keys_of(plain), *keys_of(placed)} - {"type"}:
            in_code.add((plain["type"], key if key in always else f"{key}?"))
    assert_same("fields of messages", documented, in_code)


def keys_of(message: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    for key, value in message.items():
        if isinstance(value, dict):
            yield from keys_of(value, f"{prefix}{key}.")
        else:
            yield prefix + key


def test_every_type_of_a_message_has_the_documented_fields() -> None:
    documented, in_code = [], []
    for row in table_of("Websockets", "Message").rows:
        documented += [(codes_in(row["Message"])[0], field) for field in codes_in(row["Fields"])]
    for message in get_args(Message):
        (name,) = get_args(get_type_hints(message)["type"])
        for field in declared_fields(message):
            if field != "type":
                in_code.append((name, field))
    assert_same("fields of message types", documented, in_code)


def declared_fields(message: Any, prefix: str = "") -> Iterator[str]:
    """Yield the fields of a typed dictionary as the page writes them: `data.id`, `position?`."""
    for name, kind in get_type_hints(message).items():
        if is_typeddict(kind):
            yield from declared_fields(kind, f"{prefix}{name}.")
        elif name in message.__required_keys__:
            yield prefix + name
        else:
            yield f"{prefix}{name}?"


# Errors ------------------------------------------------------------------------------------------


def test_every_error_is_on_the_page() -> None:
    rows = table_of("Errors", "Code").rows
    documented = [(row["Status"], codes_in(row["Code"])[0]) for row in rows]
    in_code = {("403", code) for code in PERMISSION_CODES}
    for status, (code, _) in DEFAULT_ERRORS.items():
        in_code.add((str(status), code))
    assert_same("Errors", documented, in_code)


def test_every_refusal_is_on_the_page() -> None:
    documented = [
        (codes_in(row["Code"])[0], int(row["Status"]), row["Field"].strip("`"))
        for row in table_of("Refusals", "Code").rows
    ]
    in_code = [(known.code, known.status, known.field) for known in visitor_refusals()]
    assert_same("Refusals", documented, in_code)


# Limits and other numbers ------------------------------------------------------------------------


def defaults() -> dict[str, str]:
    """Return the defaults in settings.py: of variables, and of numbers that are not variables."""
    source = settings_reference.SETTINGS.read_text()
    found = {each.name: each.default for each in settings_reference.read_settings(source)}
    for statement in ast.parse(source).body:
        match statement:
            case ast.Assign(targets=[ast.Name(id=name)], value=ast.Constant(value=int(value))):
                found.setdefault(name, str(value))
    return found


def test_each_number_is_the_default_of_its_setting() -> None:
    in_code = defaults()
    wrong = []
    for table in tables_with("Setting", "Default"):
        for row in table.rows:
            name = codes_in(row["Setting"])[0]
            if in_code.get(name) != row["Default"]:
                wrong.append(f"{name} is {in_code.get(name, 'no setting')}, not {row['Default']}")
    assert not wrong, f"docs/reference.md: {'; '.join(wrong)}."


def test_every_limit_is_on_the_page() -> None:
    promised = {name for name in defaults() if PROMISED.fullmatch(name)}
    for setting in settings_reference.read_settings(settings_reference.SETTINGS.read_text()):
        if setting.section == "Limits":
            promised.add(setting.name)
    documented: list[str] = []
    for table in tables_with("Setting", "Default"):
        documented += table.codes("Setting")
    assert_same("Setting", documented, promised)


# Work --------------------------------------------------------------------------------------------


def test_every_task_is_on_the_page_with_its_queue() -> None:
    app.loader.import_default_modules()
    rows = table_of("Queues and retries", "Task").rows
    documented = [(codes_in(row["Task"])[0], codes_in(row["Queue"])[0]) for row in rows]
    in_code = []
    for name in app.tasks:
        if name.partition(".")[0] in APPS:
            in_code.append((name, app.amqp.router.route({}, name)["queue"].name))
    assert_same("tasks", documented, in_code)


def test_every_sweep_is_on_the_page_with_its_interval() -> None:
    rows = table_of("Queues and retries", "Sweep").rows
    documented = [(codes_in(row["Sweep"])[0], row["Every"].strip("`")) for row in rows]
    in_code = []
    for sweep in SWEEPS:
        every = "SWEEP_INTERVAL"
        if sweep.interval is not None:
            every = f"{sweep.interval:g} s"
        elif sweep.max_share < 1:
            every = f"{100 * sweep.max_share:g} % of the time"
        in_code.append((sweep.name, every))
    assert_same("sweeps", documented, in_code)


def test_every_kind_of_email_is_on_the_page() -> None:
    documented = table_of("Emails", "Kind").codes("Kind")
    templates = [path.name for path in Path(ROOT, "templates", "emails").glob("[!_]*.subject.txt")]
    assert_same("Emails", documented, [name.removesuffix(".subject.txt") for name in templates])
    unknown = set(documented) - set(known_kinds())
    assert not unknown, f"No app registers the kinds of email {', '.join(sorted(unknown))}."


def test_every_switch_is_on_the_page() -> None:
    documented = table_of("Switches", "Switch").codes("Switch")
    in_code = set()
    for switch in known_switches():
        is_of_kind = switch.name.startswith(EMAILS)
        in_code.add(f"{EMAILS}<kind>" if is_of_kind else switch.name)
    assert_same("Switches", documented, in_code)


def test_every_command_is_on_the_page() -> None:
    commands = [name for name, of_app in get_commands().items() if of_app in APPS]
    assert_same("Commands", table_of("Commands", "Command").codes("Command"), commands)


# Levels, health and metrics ----------------------------------------------------------------------


def test_every_level_is_on_the_page() -> None:
    documented = [row["Level"] for row in table_of("Emergency levels", "Level").rows]
    in_code = set()
    for database, queue, journal in product([True, False], repeat=3):
        in_code.add(str(service_level(database=database, queue=queue, journal=journal)))
    assert_same("Emergency levels", documented, in_code)


@pytest.mark.django_db
def test_every_field_of_readyz_is_on_the_page(client: Client) -> None:
    fields = client.get("/readyz").json()
    documented = table_of("Health and metrics", "Field").codes("Field")
    assert_same("/readyz", documented, fields)


def test_every_metric_is_on_the_page() -> None:
    rows = table_of("Health and metrics", "Metric").rows
    documented = [(codes_in(row["Metric"])[0], row["Type"]) for row in rows]
    memory = memory_of_processes()
    in_code = [(memory.name, memory.type)]
    for metric in REGISTRY.collect():
        if not metric.name.startswith(("django_", "python_", "process_")):
            suffix = "_total" if metric.type == "counter" else ""
            in_code.append((metric.name + suffix, metric.type))
    assert_same("metrics", documented, in_code)
