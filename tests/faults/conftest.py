"""Fixtures of the scenarios: their length, their storms, and where their results go."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.db import connection

from guests.models import Event
from snap.local.embedded import PostgreSQL, Valkey
from tests.factories import make_event
from tests.faults.people import make_people
from tests.faults.report import MeasuredScenario, write_report
from tests.faults.result import LENIENT, PROMISED, ScenarioResult, judge
from tests.faults.scenario import Conclude, Form, MakeStorm
from tests.faults.storm import Storm
from tests.helpers import servers
from tests.helpers.own_servers import own_postgresql, own_valkey
from tests.helpers.stack import Stack

# Minutes of the soak without --soak.
SOAK_MINUTES, SHORT_SOAK_MINUTES = 30.0, 0.2
RESULTS = pytest.StashKey[list[MeasuredScenario]]()


@pytest.fixture(scope="session")
def form(pytestconfig: pytest.Config) -> Form:
    is_long = pytestconfig.getoption("long")
    minutes = pytestconfig.getoption("soak") or (SOAK_MINUTES if is_long else SHORT_SOAK_MINUTES)
    return Form(is_long, minutes)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Raise the time limit of the scenarios for the long form."""
    if config.getoption("long"):
        soak = config.getoption("soak") or SOAK_MINUTES
        for item in items:
            if Path(__file__).parent in item.path.parents:
                item.add_marker(pytest.mark.timeout(600 + soak * 60))


@pytest.fixture
def faulty(stack: Stack) -> Iterator[Stack]:
    """The processes, for a scenario to break, with an empty journal."""
    servers.empty_journal()
    yield stack
    connection.close()


@pytest.fixture
def postgresql(faulty: Stack) -> Iterator[PostgreSQL]:
    """PostgreSQL, for a scenario to break. It runs again after the test."""
    yield own_postgresql()
    servers.freshen()


@pytest.fixture
def valkey(faulty: Stack) -> Iterator[Valkey]:
    """Valkey, for a scenario to break. It runs again after the test."""
    yield own_valkey()
    servers.freshen()


@pytest.fixture
def make_storm(faulty: Stack, form: Form) -> MakeStorm:
    """Return a function that makes a storm on an event with places for two thirds of the people."""

    def make(people: int, *, event: Event | None = None, **options: Any) -> Storm:
        event = event or make_event(capacity=max(1, people * 2 // 3))
        options.setdefault("sockets", faulty.sockets_url)
        options.setdefault("shows_progress", form.is_long)
        return Storm(faulty.url, event, make_people(people), **options)

    return make


@pytest.fixture
def conclude(request: pytest.FixtureRequest, faulty: Stack, form: Form) -> Conclude:
    """Return a function that judges storms, keeps the result, and fails when something is wrong."""

    def note(*storms: Storm, broken: str, **known: Any) -> ScenarioResult:
        limits = PROMISED if form.is_long else LENIENT
        known = {"healed_at": None} | known
        result = judge(list(storms), limits=limits, **known)
        results = request.config.stash.setdefault(RESULTS, [])
        scenario = request.node.name.removeprefix("test_").replace("_", " ")
        results.append(MeasuredScenario(scenario, broken, result))
        report(request.config, has_ended=False)
        print(f"\n{scenario}: {result}")
        if result.wrong:
            print(faulty.log("web")[-4000:])
        assert not result.wrong, "\n".join(result.wrong)
        return result

    return note


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    report(session.config, has_ended=exitstatus != pytest.ExitCode.INTERRUPTED)


def report(config: pytest.Config, *, has_ended: bool) -> None:
    """Write the results so far when --report is given."""
    path: Path | None = config.getoption("report")
    results = config.stash.get(RESULTS, [])
    if path is None or not results:
        return
    form = "the short form (that of `make test`)"
    if config.getoption("long"):
        soak = config.getoption("soak") or SOAK_MINUTES
        form = f"the long form (`pytest tests/faults --long`, with a soak of {soak:g} minutes)"
    write_report(path, results, form=form, has_ended=has_ended)
