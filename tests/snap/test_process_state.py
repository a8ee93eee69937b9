"""One call resets all state that a process keeps in its memory."""

import ast
from collections.abc import Callable
from datetime import UTC, datetime
from functools import cache
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.test import override_settings
from waffle.models import Switch

from accounts import countries, forms
from guests.emergency import mirror_sync
from guests.overview import events, success
from guests.qr import codes
from guests.staff import boards, system
from guests.venue_networks import venue_networks
from notifications import outcomes, smtp
from notifications.delivery import Outcome, Result
from notifications.providers import providers
from promo.api.schema import CachedSchemaGenerator
from snap.control import modes, snapshot
from snap.limits import counters, layers
from snap.local_cache import reset_process_state
from snap.metering import collecting
from snap.monitor import deciding, host
from snap.monitor.rules import Figures
from snap.observability import error_reports, tracing
from snap.resilience import database
from snap.resilience.breaker import Breaker
from tests.helpers.load import mode_on
from tests.helpers.switches import turn_off

APPS = ("accounts", "guests", "notifications", "promo", "snap")
# Caches of functions whose results depend on nothing but their arguments.
PURE = {
    ("accounts/disposable.py", "_domains"),
    ("guests/posters/shades.py", "bright_tint"),
    ("guests/posters/shades.py", "deep_shade"),
    ("notifications/messages.py", "_host"),
    ("notifications/references.py", "_digest_of_host"),
    ("accounts/phones.py", "parse_phone"),
    ("guests/qr/codes.py", "_version_for"),
    ("guests/typesetting.py", "_has_glyph"),
    ("guests/typesetting.py", "_load"),
    ("guests/typesetting.py", "_load_plain"),
    ("guests/qr/codewords.py", "_contributions"),
    ("promo/api/serializers.py", "_shared"),
    ("snap/addresses.py", "normal_address"),
    ("snap/observability/request_log.py", "safe_path"),
}


def open_breaker(breaker: Breaker) -> None:
    for _ in range(breaker.threshold):
        breaker.failed()


def record_traces() -> None:
    from snap.observability.spans import Spans

    tracing._Process.spans = Spans()


def report_errors() -> None:
    with override_settings(SENTRY_DSN="http://key@127.0.0.1:9/1"):
        error_reports.start()


def keep_in_memory() -> None:
    queued_at = datetime(2030, 1, 1, tzinfo=UTC)
    kept = outcomes.KeptOutcome(1, queued_at, Outcome(Result.SENT), 0)
    outcomes._memory[kept.key] = kept


def draw_without_the_pool() -> None:
    turn_off("qr_pool")
    codes.fill_pool(1)


def refresh_with_a_switch() -> None:
    Switch.objects.get_or_create(name="check_in", defaults={"active": True})
    snapshot.refresh()


def follow_a_mode() -> None:
    with mode_on(modes.QUEUE):
        reported = modes._Process.modes
    modes._Process.modes = reported


# What puts state into a process, and the size of that state, by the place that keeps it.
STATES: dict[str, tuple[Callable[[], Any], Callable[[], int]]] = {
    "accounts/countries.py:_country_labels": (
        countries.country_labels,
        lambda: countries._country_labels.cache_info().currsize,
    ),
    "accounts/forms.py:_country_options": (
        lambda: str(forms.PhoneForm()),
        lambda: forms._country_options.cache_info().currsize,
    ),
    "guests/qr/codes.py": (draw_without_the_pool, lambda: len(codes._ready.tokens)),
    "guests/emergency/mirror_sync.py": (
        lambda: mirror_sync._rebuilt_at.update({Path("mirror"): 1.0}),
        lambda: len(mirror_sync._rebuilt_at),
    ),
    "guests/overview/events.py": (
        events.read_night,
        lambda: int(events._Process.known.counted_at is not None),
    ),
    "guests/staff/boards.py": (
        boards._read_night,
        lambda: int(boards._Process.night is not None),
    ),
    "guests/staff/system.py": (
        lambda: system.read_state(is_database_available=True),
        lambda: int(system._Process.state is not None),
    ),
    "guests/venue_networks.py": (
        lambda: venue_networks._networks.append(ip_network("198.51.100.0/24")),
        lambda: len(venue_networks._networks),
    ),
    "notifications/providers.py": (
        lambda: open_breaker(providers()[0].breaker),
        lambda: int(providers()[0].breaker.state != "closed"),
    ),
    "notifications/outcomes.py": (keep_in_memory, lambda: len(outcomes._memory)),
    "notifications/smtp.py": (
        lambda: smtp.kept._connections.append(("server", smtp.Connection("", 0, seconds=1))),
        lambda: len(smtp.kept._connections),
    ),
    "promo/api/schema.py": (
        lambda: CachedSchemaGenerator().get_schema(public=True),  # type: ignore[no-untyped-call]
        lambda: len(CachedSchemaGenerator._schemas),
    ),
    "guests/overview/success.py": (
        success.success_percent,
        lambda: int(success._Process.last_before is not None),
    ),
    "snap/metering/collecting.py": (
        lambda: collecting._parse("counter", b'["a", "a_total", {}, "A"]'),
        lambda: len(collecting._Process.keys),
    ),
    "snap/control/modes.py": (follow_a_mode, lambda: len(modes._Process.modes)),
    "snap/monitor/deciding.py": (
        lambda: deciding._note_decision(Figures()),
        lambda: int(deciding._Process.has_decided),
    ),
    "snap/monitor/host.py": (host.take_reading, lambda: int(host._host.taken is not None)),
    "snap/control/snapshot.py": (
        refresh_with_a_switch,
        lambda: len(snapshot.current().switches),
    ),
    "snap/limits/counters.py:_redis": (
        lambda: counters.use_once("a", 1),
        lambda: counters._redis.cache_info().currsize,
    ),
    "snap/limits/counters.py:_script_hash": (
        lambda: counters.acquire([layers.Layer("ip", "a", 1)]),
        lambda: counters._script_hash.cache_info().currsize,
    ),
    "snap/limits/counters.py:breaker": (
        lambda: open_breaker(counters.limits_breaker),
        lambda: int(counters.limits_breaker.state != "closed"),
    ),
    "snap/limits/counters.py:local_counters": (
        lambda: counters.acquire_locally([layers.Layer("ip", "a", 1)]),
        lambda: len(counters.local_counters),
    ),
    "snap/limits/layers.py:hash_of": (
        lambda: layers.hash_of("a"),
        lambda: layers.hash_of.cache_info().currsize,
    ),
    "snap/observability/tracing.py": (
        record_traces,
        lambda: int(tracing.current() is not None),
    ),
    "snap/observability/error_reports.py": (
        report_errors,
        lambda: int(error_reports._Process.reporter is not None),
    ),
    "snap/resilience/database.py": (
        lambda: open_breaker(database.database_breaker),
        lambda: int(database.database_breaker.state != "closed"),
    ),
}


@pytest.mark.django_db
@pytest.mark.parametrize("place", STATES)
def test_the_reset_empties_each_registered_state(place: str) -> None:
    fill, size = STATES[place]
    fill()
    assert size()
    reset_process_state()
    assert size() == 0


@cache
def calls_and_cached_functions() -> tuple[set[str], set[tuple[str, str]]]:
    """Return the files that call `on_reset`, and each function with a cache of functools."""
    callers, cached = set(), set()
    for app in APPS:
        for path in (settings.BASE_DIR / app).rglob("*.py"):
            name = str(path.relative_to(settings.BASE_DIR))
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Call) and ast.unparse(node.func) == "on_reset":
                    callers.add(name)
                if isinstance(node, ast.FunctionDef) and is_cached(node):
                    cached.add((name, node.name))
    return callers, cached


def is_cached(function: ast.FunctionDef) -> bool:
    decorators = {ast.unparse(each).partition("(")[0] for each in function.decorator_list}
    return not decorators.isdisjoint({"cache", "lru_cache"})


def test_each_place_that_registers_a_reset_is_tested_here() -> None:
    callers, _cached = calls_and_cached_functions()
    tested = {place.partition(":")[0] for place in STATES}
    assert tested == callers - {"snap/local_cache.py"}


def test_each_cached_function_is_pure_or_reset() -> None:
    _callers, cached = calls_and_cached_functions()
    reset = {tuple(place.split(":")) for place in STATES if ":" in place}
    assert cached - PURE <= reset
    assert cached >= PURE
