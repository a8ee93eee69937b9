"""Staff set a mode for a time, with a reason. It holds whatever the load monitor decides."""

import logging
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import timedelta
from typing import Any

import pytest
from django.db import IntegrityError, transaction
from django.db.models.functions import Now

from accounts.models import User
from snap.control import snapshot
from snap.control.modes import is_emergency
from snap.models import Mode, ModeChange
from snap.monitor.changes import MAX_MINUTES, ModeError, leave_to_monitor, set_mode
from tests.helpers.load import make_modes

Capture = Callable[..., AbstractContextManager[list[Any]]]


@pytest.fixture(autouse=True)
def _modes(db: None) -> None:
    make_modes()


def shown(name: str = "emergency") -> Mode:
    return Mode.objects.with_last_change().get(pk=name)


def test_what_staff_set_holds_for_its_time(manager: User) -> None:
    set_mode("emergency", is_on=True, minutes=30, reason="doors open", by=manager)
    snapshot.refresh()
    assert is_emergency()
    mode = shown()
    assert mode.is_active
    assert mode.is_set_by_hand
    assert mode.override_by == manager
    assert mode.why == "doors open"
    left = mode.override_until - mode.database_now  # type: ignore[operator]
    assert timedelta(minutes=29) < left <= timedelta(minutes=30)
    Mode.objects.update(override_until=Now() - timedelta(seconds=1))
    snapshot.refresh()
    assert not is_emergency()
    assert not shown().is_active


def test_off_by_hand_wins_over_the_monitor() -> None:
    Mode.objects.filter(pk="emergency").update(is_on=True)
    set_mode("emergency", is_on=False, minutes=30, reason="the report is wrong")
    snapshot.refresh()
    assert not is_emergency()
    assert not shown().is_active


def test_leaving_a_mode_to_the_monitor(manager: User) -> None:
    set_mode("emergency", is_on=True, minutes=30, reason="doors open")
    assert leave_to_monitor("emergency", reason="all are in", by=manager)
    snapshot.refresh()
    assert not is_emergency()
    change = ModeChange.objects.latest("pk")
    assert (change.was_on, change.is_on, change.source) == (True, False, "staff")
    assert (change.reason, change.changed_by) == ("all are in", manager)
    assert not leave_to_monitor("emergency", reason="once more")
    assert shown().why == "all are in"


def test_setting_a_mode_again_replaces_what_was_set() -> None:
    set_mode("queue", is_on=True, minutes=30, reason="first")
    set_mode("queue", is_on=False, minutes=30, reason="second")
    assert not shown("queue").is_active
    changes = ModeChange.objects.order_by("pk").values_list("was_on", "is_on", "reason")
    assert list(changes) == [(False, True, "first"), (True, False, "second")]


@pytest.mark.parametrize("reason", ["", "  ", "\n\t", "two\nlines", "x" * 201, "\u200b"])
def test_a_reason_is_required(reason: str) -> None:
    with pytest.raises(ModeError, match="reason"):
        set_mode("emergency", is_on=True, minutes=30, reason=reason)
    set_mode("emergency", is_on=True, minutes=30, reason="a reason")
    with pytest.raises(ModeError, match="reason"):
        leave_to_monitor("emergency", reason=reason)


@pytest.mark.parametrize("minutes", [-1, 0, MAX_MINUTES + 1])
def test_a_time_of_at_most_a_day_is_required(minutes: int) -> None:
    with pytest.raises(ModeError, match="minutes"):
        set_mode("emergency", is_on=True, minutes=minutes, reason="a reason")
    assert not ModeChange.objects.exists()


@pytest.mark.parametrize("fields", [{"override_until": None}, {"override_reason": ""}])
def test_the_database_refuses_a_mode_without_end_or_reason(fields: dict[str, Any]) -> None:
    values = {"override": True, "override_until": Now(), "override_reason": "a reason"}
    with pytest.raises(IntegrityError), transaction.atomic():
        Mode.objects.update(**values | fields)


def test_the_log_has_no_words_of_staff(
    caplog: pytest.LogCaptureFixture, django_capture_on_commit_callbacks: Capture
) -> None:
    with caplog.at_level(logging.INFO), django_capture_on_commit_callbacks(execute=True):
        set_mode("emergency", is_on=True, minutes=30, reason="Rui at +351 910 000 000 asked")
    assert "mode_changed" in caplog.messages
    assert "Rui" not in str([vars(line) for line in caplog.records])


@pytest.mark.parametrize(
    ("reason", "words"),
    [
        ("response_ms 3412.0", "responses take up to 3412 ms"),
        ("error_percent 5.5", "5.5 % of requests fail"),
        ("connections 151.0", "151 database connections"),
        ("requests 12.0", "12 requests in half a minute"),
        ("of_a_later_release 1.0", "of_a_later_release 1.0"),
        ("response_ms broken", "response_ms broken"),
        ("", ""),
    ],
)
def test_the_reasons_of_the_monitor_are_shown_in_words(reason: str, words: str) -> None:
    from django.utils.translation import override

    ModeChange.objects.create(
        mode="emergency", was_on=False, is_on=True, source="monitor", reason=reason
    )
    with override("en"):
        assert ModeChange.objects.get().why == words
        assert shown().why == words
