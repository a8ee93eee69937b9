"""`manage.py set_mode`: for an operator with a terminal at three in the morning."""

from datetime import timedelta
from io import StringIO

import pytest
from django.conf import settings
from django.core.management import CommandError, call_command
from django.db.models.functions import Now
from django.utils import timezone, translation

from snap.control import snapshot
from snap.control.modes import is_emergency, is_queueing
from snap.models import Mode, ModeChange, words_of
from snap.monitor.changes import note_change, set_mode
from tests.helpers.load import make_modes


@pytest.fixture(autouse=True)
def _modes(db: None) -> None:
    make_modes()


def run(*arguments: str) -> str:
    out = StringIO()
    call_command("set_mode", *arguments, stdout=out)
    return out.getvalue()


def test_it_sets_a_mode_and_says_so() -> None:
    said = run("emergency", "on", "--reason", "database slow", "--minutes", "45")
    assert "emergency  on   set by hand until" in said
    assert "(database slow)" in said
    assert "queue      off  decided by the load monitor" in said
    snapshot.refresh()
    assert is_emergency()
    change = ModeChange.objects.get()
    assert (change.source, change.reason, change.changed_by) == ("staff", "database slow", None)


def test_it_leaves_a_mode_to_the_monitor() -> None:
    run("queue", "on", "--reason", "rehearsal")
    said = run("queue", "auto", "--reason", "over")
    assert "queue      off  decided by the load monitor\n" in said
    snapshot.refresh()
    assert not is_queueing()


def test_it_says_if_nothing_was_set_by_hand() -> None:
    said = run("queue", "auto", "--reason", "over")
    assert "Nothing has changed: queue mode was not set by hand." in said
    assert not ModeChange.objects.exists()


def test_a_reason_of_staff_is_not_shown_as_that_of_the_monitor() -> None:
    set_mode("queue", is_on=True, minutes=30, reason="rehearsal")
    Mode.objects.update(override_until=Now() - timedelta(seconds=1))
    assert "queue      off  decided by the load monitor\n" in run()


def test_the_reason_of_the_monitor_is_in_english() -> None:
    Mode.objects.filter(pk="emergency").update(is_on=True)
    note_change(
        Mode.objects.with_last_change().get(pk="emergency"),
        was_on=False,
        source=ModeChange.Source.MONITOR,
        reason="error_percent 7.0",
    )
    with translation.override("pt-pt"):
        said = run()
    with translation.override("en"):
        assert f"on   decided by the load monitor ({words_of('error_percent 7.0')})" in said


def test_a_mode_that_is_set_until_tomorrow_says_the_day() -> None:
    said = run("queue", "on", "--reason", "festival", "--minutes", "1440")
    tomorrow = timezone.localtime() + timedelta(days=1)
    assert f"until {tomorrow:%d/%m}" in said


def test_nothing_is_decided_by_a_monitor_that_is_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "MONITOR_SECONDS", 0)
    assert run().count("the load monitor is turned off") == 2


def test_without_arguments_it_shows_the_modes(manager: object) -> None:
    set_mode("queue", is_on=False, minutes=30, reason="rehearsal", by=manager)
    assert f"queue      off  set by hand by {manager} until" in run()
    assert ModeChange.objects.count() == 1


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["emergency", "on"], "Say why"),
        (["emergency", "on", "--reason", " "], "Say why"),
        (["emergency", "auto"], "Say why"),
        (["emergency", "on", "--reason", "x" * 201], "a line of text of at most 200"),
        (["emergency", "auto", "--reason", "a\nb"], "a line of text of at most 200"),
        (["emergency", "auto", "--reason", "x", "--minutes", "5"], "leave --minutes out"),
        (["emergency", "on", "--reason", "x", "--minutes", "0"], "--minutes must be"),
        (["emergency", "on", "--reason", "x", "--minutes", "1441"], "--minutes must be"),
        (["emergency"], "Say what emergency mode should be"),
        (["panic", "on", "--reason", "x"], "invalid choice"),
        (["emergency", "maybe", "--reason", "x"], "invalid choice"),
    ],
)
def test_a_mistake_is_one_sentence(arguments: list[str], sentence: str) -> None:
    with pytest.raises(CommandError, match=sentence):
        run(*arguments)
    assert not ModeChange.objects.exists()
