"""Each finding of `manage.py check_setup` appears with its fault, and only then."""

import re
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest
from django.conf import settings
from django.core import checks
from django.core.checks import CheckMessage
from django.db import transaction

from snap.local.embedded import PostgreSQL
from snap.local.processes import BASE_DIR
from snap.setup import SERVERS, SETUP, postgresql
from snap.setup.postgresql import NO_DATABASE
from tests.helpers.setup_faults import CASES as OTHER_CASES
from tests.helpers.sign_in_faults import SIGN_IN_CASES

APPS = ("snap", "promo", "guests", "accounts", "notifications")
CASES = OTHER_CASES | SIGN_IN_CASES
# Ids of the checks for production begin at 101; the others stop a start or warn at each.
ID = re.compile(r'"((?:snap|promo|guests|accounts|notifications)\.[EWI]1\d\d)"')
# The same finding comes from a usual check and from one for production.
ALSO = {"notifications.W003"}


def ids(found: list[CheckMessage]) -> set[str]:
    return {str(message.id) for message in found}


def without_traces(find: Callable[[Path], list[CheckMessage]], folder: Path) -> set[str]:
    """Return what is found, and roll back what was done for it."""
    folder.mkdir()
    with transaction.atomic():
        found = find(folder)
        transaction.set_rollback(True)
    for message in found:
        assert_is_a_sentence(message)
    return ids(found)


def assert_is_a_sentence(message: CheckMessage) -> None:
    """A finding says what is wrong, and its hint what to do."""
    assert message.msg[0].isupper(), message
    assert message.msg.endswith("."), message
    assert message.hint, message
    assert message.hint[0].isupper(), message
    assert message.hint.endswith("."), message


@pytest.mark.django_db
@pytest.mark.parametrize("name", sorted(set(CASES) - {NO_DATABASE}))
def test_a_finding_appears_with_its_fault_alone(name: str, tmp_path: Path) -> None:
    assert name in without_traces(CASES[name].faulty, tmp_path / "faulty")
    assert name not in without_traces(CASES[name].well, tmp_path / "well")


def test_every_finding_has_a_case() -> None:
    written: set[str] = set()
    for app in APPS:
        for path in (BASE_DIR / app).rglob("*.py"):
            written |= set(ID.findall(path.read_text()))
    assert written | ALSO == set(CASES)


def test_servers_are_not_asked_without_a_database() -> None:
    """`manage.py check --deploy` asks none. Here pytest lets no query through."""
    found = checks.run_checks(tags=[SETUP, SERVERS], include_deployment_checks=True)
    assert {"snap.E121", "snap.E123", "snap.W132"}.isdisjoint(ids(found))


@pytest.mark.usefixtures("stoppable_database")
def test_a_stopped_database_is_the_only_finding_about_it(tmp_path: Path) -> None:
    assert ids(CASES[NO_DATABASE].faulty(tmp_path)) == {NO_DATABASE}
    assert NO_DATABASE not in ids(CASES[NO_DATABASE].well(tmp_path))


@pytest.mark.slow
def test_a_safe_server_passes(tmp_path: Path) -> None:
    """The tests' own server has no fsync, no archive, and few connections."""
    safe = {"archive_mode": "on", "archive_command": "/bin/true", "max_connections": "200"}
    server = PostgreSQL(tmp_path / "postgresql", settings=safe)
    server.start()
    try:
        parameters = parameters_of(server)
    finally:
        server.stop()
    assert postgresql.check_durability(parameters) == []
    assert postgresql.check_archive(parameters) == []
    assert postgresql.check_version(parameters) == []


def parameters_of(server: PostgreSQL) -> dict[str, str]:
    with psycopg.connect(server.url) as own:
        return dict(own.execute("SELECT name, setting FROM pg_settings").fetchall())


def test_connections_outside_of_pools_count(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each process has one for its snapshot, and one for a probe during an outage."""
    monkeypatch.setenv("WEB_WORKERS", "4")
    monkeypatch.setenv("WORKER_CONCURRENCY", "20")
    pool = settings.DATABASES["default"]["OPTIONS"]["pool"]["max_size"]
    assert postgresql.connections_of_a_host() == (pool + 2) * (4 + 3) + 3 * 20
