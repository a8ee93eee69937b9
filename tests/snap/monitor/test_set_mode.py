"""`manage.py set_mode`: for an operator with a terminal at three in the morning."""

from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from snap.control import snapshot
from snap.control.modes import is_emergency, is_queueing
from snap.models import ModeChange
from snap.monitor.changes import set_mode
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
    assert "queue      off  decided by the load monitor (over)" in said
    snapshot.refresh()
    assert not is_queueing()
    assert "Nothing was set by hand." in run("queue", "auto", "--reason", "over")


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
