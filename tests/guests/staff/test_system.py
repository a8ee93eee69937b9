"""The state of the system, as the dashboard tells it."""

import re
from datetime import timedelta

import pytest
from django.db.models.functions import Now
from django.utils import translation

from guests.models import GuestRequest
from guests.staff import system
from guests.staff.system import Fact, SystemState, read_state
from snap.control import snapshot
from snap.control.switches import QR_POOL
from snap.local.processes import BASE_DIR
from snap.models import Mode
from tests.factories import make_request, make_staff
from tests.helpers.stack import wait_for
from tests.helpers.switches import turn_off
from tests.helpers.systems import WELL, with_queues

pytestmark = pytest.mark.django_db


def facts() -> dict[str, Fact]:
    with translation.override("en"):
        return {fact.label: fact for fact in read_state(is_database_available=True).facts()}


def test_queues_tell_their_depth_and_age() -> None:
    request = make_request()
    GuestRequest.objects.filter(pk=request.pk).update(
        accepted_at=Now() - timedelta(seconds=90), next_attempt_at=Now() - timedelta(seconds=90)
    )
    fact = facts()["Requests in the queue"]
    assert fact.value.startswith("1, the oldest for 9")
    assert fact.is_bad


def test_a_quiet_system_has_nothing_bad_in_its_queues() -> None:
    found = facts()
    for label in ("Requests in the queue", "Codes to send", "Emails to send"):
        assert found[label] == Fact(label, "0")
    assert found["Emergency mode"] == Fact("Emergency mode", "off")


def test_a_mode_that_is_set_by_hand_says_by_whom_until_when_and_why() -> None:
    staff = make_staff(first_name="Sofia", last_name="Exemplo")
    Mode.objects.filter(name="queue").update(
        override=True,
        override_until=Now() + timedelta(hours=1),
        override_reason="a second bar opens",
        override_by=staff,
    )
    fact = facts()["Queue mode"]
    assert fact.is_bad
    assert fact.value.startswith("on, set by Sofia Exemplo until ")
    assert fact.value.endswith(": a second bar opens")


def test_an_outage_of_the_database_is_level_three_at_once() -> None:
    read_state(is_database_available=True)
    with translation.override("en"):
        state = read_state(is_database_available=False)
        assert "The numbers are the last known ones." in state.lines()
        assert state.facts()[0] == Fact("Level", "3, emergency", is_bad=True)


def test_modes_are_told_from_the_snapshot() -> None:
    Mode.objects.update(is_on=True)
    snapshot.refresh()
    with translation.override("en"):
        lines = " ".join(read_state(is_database_available=True).lines())
    assert "Emergency mode" in lines
    assert "Queue mode" in lines


def test_what_is_wrong_beside_the_level_is_told_once_each() -> None:
    with translation.override("en"):
        assert SystemState(WELL, ()).lines() == []
        lines = SystemState(with_queues(dead_requests=2), ()).lines()
        assert lines == ["Requests have failed: their guests have no answer."]
        away = SystemState(with_queues(dead_requests=2), (), is_database_available=False)
        assert not set(lines) & set(away.lines())


def test_every_problem_of_the_terminal_has_words_for_staff() -> None:
    source = (BASE_DIR / "guests" / "overview" / "problems.py").read_text()
    headings = set(re.findall(r'"([A-Z][a-z]+(?:[A-Z][a-z]+)+)"', source))
    assert headings == set(system.PROBLEMS) | system.TOLD_BY_LEVEL_OR_MODE


def test_switches_that_are_off_are_told() -> None:
    assert facts()["Turned off"] == Fact("Turned off", "nothing")
    turn_off(QR_POOL)
    assert facts()["Turned off"] == Fact("Turned off", "QR codes made ahead", is_bad=True)
    with translation.override("en"):
        assert SystemState(WELL, ()).lines() == ["Turned off by staff: QR codes made ahead."]


def test_old_values_say_of_when_they_are() -> None:
    assert "These values are of" not in facts()
    state = system._Process.state
    assert state is not None
    old = state.system.read_at - timedelta(minutes=5)
    object.__setattr__(state.system, "read_at", old)
    assert facts()["These values are of"].is_bad


@pytest.mark.django_db(transaction=True)
def test_the_state_is_read_again_by_a_thread() -> None:
    make_request()
    assert facts()["Requests in the queue"].value.startswith("1,")
    make_request()
    system._Process.read_at -= system.SECONDS
    assert facts()["Requests in the queue"].value.startswith("1,")
    wait_for(lambda: facts()["Requests in the queue"].value.startswith("2,"))


@pytest.mark.django_db(transaction=True)
def test_after_a_pause_the_first_look_has_present_values() -> None:
    assert facts()["Requests in the queue"].value == "0"
    make_request()
    system._Process.read_at -= 3600
    assert facts()["Requests in the queue"].value.startswith("1,")
