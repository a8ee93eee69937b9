"""Fixtures of the scenarios: how long they last, who comes, and where their results go."""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import pytest
from django.db import connection

from guests.models import Event
from snap.local.embedded import PostgreSQL, Valkey
from tests.factories import make_event
from tests.faults.report import Result, write_report
from tests.faults.storm import Storm, make_people
from tests.faults.verdict import LENIENT, PROMISED, Verdict, judge
from tests.helpers import servers
from tests.helpers.stack import Stack

# Unless --soak says otherwise.
SOAK_MINUTES, SHORT_SOAK_MINUTES = 30.0, 0.2
RESULTS = pytest.StashKey[list[Result]]()


@dataclass(frozen=True)
class Form:
    """How hard a scenario is: `make test` runs the short form, `make faults` the long one."""

    is_long: bool
    soak_minutes: float

    def __call__(self, short: float, long: float) -> float:
        return long if self.is_long else short


@pytest.fixture(scope="session")
def form(pytestconfig: pytest.Config) -> Form:
    is_long = pytestconfig.getoption("long")
    minutes = pytestconfig.getoption("soak") or (SOAK_MINUTES if is_long else SHORT_SOAK_MINUTES)
    return Form(is_long, minutes)


def loud_skip(message: str) -> NoReturn:
    """Skip a test for want of something, in a way that nobody overlooks; in CI it fails."""
    if os.environ.get("CI") == "true":
        pytest.fail(message)
    pytest.skip(message)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Give the long form the time that it needs."""
    if config.getoption("long"):
        soak = config.getoption("soak") or SOAK_MINUTES
        for item in items:
            if Path(__file__).parent in item.path.parents:
                item.add_marker(pytest.mark.timeout(600 + soak * 60))


@pytest.fixture
def faulty(stack: Stack) -> Iterator[Stack]:
    """The processes, to be broken by a scenario, with an empty journal."""
    servers.empty_journal()
    yield stack
    connection.close()


@pytest.fixture
def postgresql(faulty: Stack) -> Iterator[PostgreSQL]:
    """PostgreSQL, running again when the test has ended, however that was."""
    if servers.postgresql is None:
        pytest.skip("A PostgreSQL THAT DATABASE_URL NAMES IS NOT OURS TO BREAK")
    yield servers.postgresql
    servers.freshen()


@pytest.fixture
def valkey(faulty: Stack) -> Iterator[Valkey]:
    """Valkey, running again when the test has ended, however that was."""
    if servers.valkey is None:
        pytest.skip("A VALKEY THAT REDIS_URL NAMES IS NOT OURS TO BREAK")
    yield servers.valkey
    servers.freshen()


MakeStorm = Callable[..., Storm]


@pytest.fixture
def make_storm(faulty: Stack, form: Form) -> MakeStorm:
    """Return a function that prepares a storm on an event with places for two in three."""

    def make(people: int, *, event: Event | None = None, **options: Any) -> Storm:
        event = event or make_event(capacity=max(1, people * 2 // 3))
        options.setdefault("sockets", faulty.sockets_url)
        options.setdefault("shows_progress", form.is_long)
        return Storm(faulty.url, event, make_people(people), **options)

    return make


Conclude = Callable[..., Verdict]


@pytest.fixture
def conclude(request: pytest.FixtureRequest, faulty: Stack, form: Form) -> Conclude:
    """Return a function that judges the storms, notes the result and fails if anything is wrong."""

    def note(*storms: Storm, broken: str, **known: Any) -> Verdict:
        limits = PROMISED if form.is_long else LENIENT
        known = {"healed_at": None} | known
        verdict = judge(list(storms), limits=limits, **known)
        results = request.config.stash.setdefault(RESULTS, [])
        scenario = request.node.name.removeprefix("test_").replace("_", " ")
        results.append(Result(scenario, broken, verdict))
        report(request.config, has_ended=False)
        print(f"\n{scenario}: {verdict}")
        if verdict.wrong:
            print(faulty.log("web")[-4000:])
        assert not verdict.wrong, "\n".join(verdict.wrong)
        return verdict

    return note


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    report(session.config, has_ended=exitstatus != pytest.ExitCode.INTERRUPTED)


def report(config: pytest.Config, *, has_ended: bool) -> None:
    """Write down the results there are, if that is wanted."""
    path: Path | None = config.getoption("report")
    results = config.stash.get(RESULTS, [])
    if path is None or not results:
        return
    form = "the short form (that of `make test`)"
    if config.getoption("long"):
        soak = config.getoption("soak") or SOAK_MINUTES
        form = f"the long form (`pytest tests/faults --long`, with a soak of {soak:g} minutes)"
    write_report(path, results, form=form, has_ended=has_ended)
