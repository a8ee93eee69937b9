"""Switches: what code reads, the rows that staff find, and that nothing reads waffle itself."""

import ast
import re
from timeit import timeit

import pytest
from django.conf import settings
from django.core.management import CommandError, call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext
from waffle.models import Switch

from notifications.kinds import known_kinds
from snap.control import snapshot
from snap.control.rows import add_missing_rows
from snap.control.switches import (
    EMAILS,
    find_switch,
    is_on,
    known_switches,
    register_switch,
    switch_gauge,
    switches_off,
)
from tests.helpers.switches import turn, turn_off

pytestmark = pytest.mark.django_db

# What may import waffle: its application, and the rows of its switches.
READERS_OF_ROWS = {
    "guests/overview/system.py",
    "snap/control/rows.py",
    "snap/models.py",
}
# waffle's own reads: functions, methods of a row, and `Switch.get`, which asks the cache first.
READS = re.compile(
    r"\b(switch_is_active|flag_is_active|sample_is_active|waffle_\w+_active|override_switch)\b"
    r"|\b(Switch|SwitchRow|Flag|Sample)\.(get|get_all)\(|\bwaffle\.(decorators|mixins|testutils)"
)


def names() -> set[str]:
    return {switch.name for switch in known_switches()}


# Reading ------------------------------------------------------------------------------------------


def test_a_switch_without_a_row_is_on() -> None:
    Switch.objects.all().delete()
    assert is_on("batching")
    assert not switches_off()


def test_a_switch_is_read_from_the_snapshot_without_a_query() -> None:
    turn_off("batching")
    Switch.objects.filter(name="batching").update(active=True)
    with CaptureQueriesContext(connection) as captured:
        assert not is_on("batching"), "the row was read"
    assert not captured.captured_queries
    assert [switch.name for switch in switches_off()] == ["batching"]


def test_reading_a_switch_takes_no_time() -> None:
    turn_off("batching")
    shortest = min(timeit(lambda: is_on("batching"), number=10_000) for _ in range(5))
    # 0.2 µs on an idle machine. A round trip to a server would be 100 times the limit.
    assert shortest / 10_000 < 5e-6


def test_each_switch_is_in_the_metrics_as_it_is() -> None:
    turn_off("challenge")
    values = {}
    for sample in next(iter(switch_gauge.collect())).samples:
        values[sample.labels["switch"]] = sample.value
    assert names() <= set(values)
    assert values["challenge"] == 0
    assert values["check_in"] == 1
    turn("challenge", on=True)
    (sample,) = [
        sample
        for sample in next(iter(switch_gauge.collect())).samples
        if sample.labels["switch"] == "challenge"
    ]
    assert sample.value == 1


def test_two_switches_have_different_names() -> None:
    with pytest.raises(ValueError, match="twice"):
        register_switch("batching", "another", "another")


# Rows ---------------------------------------------------------------------------------------------


def test_a_migration_adds_a_row_for_each_switch_and_changes_none() -> None:
    Switch.objects.all().delete()
    Switch.objects.create(name="batching", active=False, note="Too many errors")
    call_command("migrate", verbosity=0)
    assert names() == set(Switch.objects.values_list("name", flat=True))
    row = Switch.objects.get(name="batching")
    assert (row.active, row.note) == (False, "Too many errors")
    assert set(Switch.objects.exclude(name="batching").values_list("active", flat=True)) == {True}


def test_an_operator_turns_a_switch_from_a_terminal() -> None:
    add_missing_rows()
    call_command("waffle_switch", "batching", "off")
    snapshot.refresh()
    assert not is_on("batching")
    with pytest.raises(CommandError):
        call_command("waffle_switch", "batchign", "off")


def test_without_the_table_no_row_is_added() -> None:
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE waffle_switch RENAME TO waffle_switch_away")
    add_missing_rows()
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE waffle_switch_away RENAME TO waffle_switch")


def test_each_kind_of_email_has_a_switch_in_words() -> None:
    assert {EMAILS + kind for kind in known_kinds()} <= names()
    for switch in known_switches():
        assert str(switch.label).strip()
        assert str(switch.meaning).endswith("."), switch.name
    assert find_switch("nothing") is None


# Waffle -------------------------------------------------------------------------------------------


def modules() -> dict[str, str]:
    """Return the source of each module of the apps, by its path."""
    found = {}
    for app in ("accounts", "guests", "notifications", "promo", "snap"):
        for path in (settings.BASE_DIR / app).rglob("*.py"):
            found[str(path.relative_to(settings.BASE_DIR))] = path.read_text()
    return found


def imports_waffle(source: str) -> bool:
    for node in ast.walk(ast.parse(source)):
        names = []
        if isinstance(node, ast.ImportFrom):
            names = [node.module or ""]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        if any(name.partition(".")[0] == "waffle" for name in names):
            return True
    return False


def test_no_code_reads_a_switch_by_waffle() -> None:
    """Its reads ask the cache on every call, and the database when the cache is away."""
    for path, source in modules().items():
        assert not READS.search(source), path
        assert path in READERS_OF_ROWS or not imports_waffle(source), path
    for template in (settings.BASE_DIR / "templates").rglob("*.*"):
        assert "waffle" not in template.read_text(), template
    assert not [name for name in settings.MIDDLEWARE if "waffle" in name]


@pytest.mark.parametrize(
    "source",
    [
        "from waffle import switch_is_active",
        "if Switch.get('batching').is_active(): ...",
        "from waffle.decorators import waffle_switch",
        "waffle.testutils.override_switch('a', True)",
    ],
)
def test_the_search_finds_waffles_reads(source: str) -> None:
    assert READS.search(source)
