"""Modes begin above the thresholds, end when it is well for a while, and never flap."""

import random
from itertools import pairwise

import pytest
from django.conf import settings
from pytest_django import Settings

from snap.control.modes import EMERGENCY, MODES, QUEUE
from snap.monitor.rules import (
    CHANGE_SECONDS,
    WELL,
    WELL_SECONDS,
    Figures,
    Standing,
    load_of,
    next_standing,
)

NOW = 1_800_000_000.0
ENOUGH = 1_000  # requests


def begins(mode: str, **figures: float) -> bool:
    share = load_of(mode, Figures(**figures)).share  # type: ignore[arg-type]
    return next_standing(Standing(), share, NOW).is_on


@pytest.mark.parametrize(
    ("mode", "figure", "threshold", "above"),
    [
        (EMERGENCY, "response_ms", 3_000, 3_001),
        (EMERGENCY, "error_percent", 5, 5.1),
        (QUEUE, "connections", 150, 151),
    ],
)
def test_each_mode_begins_above_its_threshold(
    mode: str, figure: str, threshold: float, above: float
) -> None:
    assert not begins(mode, requests=ENOUGH, **{figure: threshold})
    assert begins(mode, requests=ENOUGH, **{figure: above})
    for other in set(MODES) - {mode}:
        assert not begins(other, requests=ENOUGH, **{figure: above})


def test_few_requests_decide_nothing() -> None:
    few = settings.MONITOR_LEAST_REQUESTS - 1
    assert not begins(EMERGENCY, requests=few, response_ms=9_000, error_percent=100)
    assert begins(EMERGENCY, requests=few + 1, response_ms=9_000)


def test_without_metrics_emergency_mode_neither_begins_nor_ends() -> None:
    share = load_of(EMERGENCY, Figures(has_metrics=False, requests=ENOUGH, error_percent=50)).share
    assert not next_standing(Standing(), share, NOW).is_on
    long_on = Standing(is_on=True, changed_at=NOW - 3_600, well_since=NOW - 3_500)
    assert next_standing(long_on, share, NOW).is_on


def test_a_server_with_few_connections_has_a_lower_threshold() -> None:
    assert not begins(QUEUE, connections=80, max_connections=100)
    assert begins(QUEUE, connections=81, max_connections=100)
    assert begins(QUEUE, connections=151, max_connections=1_000)


def test_the_thresholds_are_settings(settings: Settings) -> None:
    settings.MONITOR_RESPONSE_MS = 500.0
    settings.MONITOR_ERROR_PERCENT = 1.0
    settings.MONITOR_CONNECTIONS = 10
    settings.MONITOR_LEAST_REQUESTS = 1
    assert begins(EMERGENCY, requests=1, response_ms=501)
    assert begins(EMERGENCY, requests=1, error_percent=1.1)
    assert begins(QUEUE, connections=11)


def test_the_reason_names_the_figure_that_is_worst() -> None:
    both = Figures(requests=ENOUGH, response_ms=3_300, error_percent=20)
    assert load_of(EMERGENCY, both).reason == "error_percent 20.0"
    assert load_of(QUEUE, Figures(connections=160)).reason == "connections 160.0"


def test_figures_of_another_release_are_read() -> None:
    stored = Figures(hosts=2, requests=10).to_json()
    assert Figures.from_json(stored | {"of_a_later_release": 1}) == Figures(hosts=2, requests=10)
    assert Figures.from_json({}) == Figures()


def decisions(shares: list[float], standing: Standing, step: float = 10.0) -> list[Standing]:
    """Return what is decided every `step` seconds under these loads."""
    decided = []
    for number, share in enumerate(shares):
        standing = next_standing(standing, share, NOW + number * step)
        decided.append(standing)
    return decided


def test_a_mode_ends_after_a_minute_that_is_well() -> None:
    is_on = [each.is_on for each in decisions([2, *[0.1] * 8], Standing())]
    assert is_on == [*[True] * 7, False, False]


def test_a_load_between_well_and_the_threshold_changes_nothing() -> None:
    between = [WELL, 0.8, 1.0] * 20
    assert not any(each.is_on for each in decisions(between, Standing()))
    assert all(each.is_on for each in decisions([2, *between], Standing()))


def test_a_load_that_rises_again_begins_the_minute_again() -> None:
    loads = [2, *[0.1] * 6, 0.7, *[0.1] * 6]
    assert all(each.is_on for each in decisions(loads, Standing()))


def random_loads(seed: int) -> list[tuple[float, float]]:
    """Return times and loads: noise of any size, trends, and a clock that jumps now and then."""
    chance = random.Random(seed)
    now, level, loads = NOW, chance.uniform(0, 2), []
    for _ in range(300):
        now += chance.choice([0.5, 1, 2, 9, 10, 11, 40])
        level = min(3, max(0, level + chance.gauss(0, 0.3)))
        loads.append((now, level * chance.uniform(0.3, 1.7)))
    return loads


@pytest.mark.parametrize("seed", range(30))
def test_no_load_makes_a_mode_flap(seed: int) -> None:
    standing, changes = Standing(), []
    for now, share in random_loads(seed):
        decided = next_standing(standing, share, now)
        if decided.is_on != standing.is_on:
            changes.append((now, decided.is_on))
        standing = decided
    for (earlier, was_on), (later, is_on) in pairwise(changes):
        assert later - earlier >= CHANGE_SECONDS
        assert is_on is not was_on
        if was_on:
            assert later - earlier >= WELL_SECONDS


@pytest.mark.parametrize("seed", range(30))
def test_a_mode_always_ends_when_it_is_well(seed: int) -> None:
    standing, now = Standing(), NOW
    for now, share in random_loads(seed):
        standing = next_standing(standing, share, now)
    for _ in range(10):
        now += 10
        standing = next_standing(standing, random.Random(seed).uniform(0, WELL - 0.01), now)
    assert not standing.is_on


@pytest.mark.parametrize("jump", [-86_400, -1, 86_400])
def test_a_clock_that_jumps_holds_no_mode(jump: float) -> None:
    """For example when a replica takes over."""
    standing = decisions([2, *[0.1] * 3], Standing())[-1]
    assert standing.is_on
    now = NOW + 40 + jump
    for _ in range(8):
        standing = next_standing(standing, 0.1, now)
        now += 10
    assert not standing.is_on


def test_a_clock_that_jumped_back_does_not_keep_a_mode_from_beginning() -> None:
    ended = Standing(is_on=False, changed_at=NOW + 86_400, well_since=NOW + 86_400)
    assert next_standing(ended, 2, NOW).is_on
