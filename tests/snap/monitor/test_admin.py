"""Staff see the modes and set them in admin, with a reason and for a time."""

from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission
from django.test import Client

from accounts.models import User
from snap.control import snapshot
from snap.control.modes import is_emergency
from snap.models import Mode, ModeChange
from snap.monitor.changes import set_mode
from snap.monitor.deciding import decide
from tests.factories import make_account
from tests.helpers.load import make_modes

MODES = "/admin/snap/mode/"
EMERGENCY = f"{MODES}emergency/change/"
HISTORY = "/admin/snap/modechange/"
SET = {"setting": "on", "minutes": "30", "reason": "doors open"}
ENGLISH = {"accept-language": "en"}


@pytest.fixture(autouse=True)
def _modes(db: None) -> None:
    make_modes()


def page(client: Client, path: str) -> str:
    response = client.get(path, headers=ENGLISH)
    assert response.status_code == 200
    return response.content.decode()


def staff_with(client: Client, *codenames: str) -> User:
    account = make_account(is_staff=True)
    permissions = Permission.objects.filter(content_type__app_label="snap", codename__in=codenames)
    account.user_permissions.set(permissions)
    client.force_login(account)
    return account


def test_staff_set_a_mode_for_a_time(admin: Client) -> None:
    response = admin.post(EMERGENCY, SET, headers=ENGLISH, follow=True)
    assert "all processes follow within a second." in response.content.decode()
    snapshot.refresh()
    assert is_emergency()
    change = ModeChange.objects.get()
    assert (change.was_on, change.is_on, change.source) == (False, True, "staff")
    assert change.reason == "doors open"
    assert change.changed_by == response.wsgi_request.user
    assert LogEntry.objects.get().change_message == "on: doors open"
    shown = page(admin, EMERGENCY)
    assert "doors open" in shown
    assert str(change.changed_by) in shown


def test_staff_leave_a_mode_to_the_monitor(admin: Client) -> None:
    admin.post(EMERGENCY, SET)
    admin.post(EMERGENCY, {"setting": "automatic", "minutes": "15", "reason": "all are in"})
    snapshot.refresh()
    assert not is_emergency()
    assert Mode.objects.get(pk="emergency").override is None
    assert ModeChange.objects.count() == 2


def test_staff_keep_a_mode_off(admin: Client) -> None:
    Mode.objects.filter(pk="emergency").update(is_on=True)
    admin.post(EMERGENCY, SET | {"setting": "off"})
    snapshot.refresh()
    assert not is_emergency()


@pytest.mark.parametrize(
    "fields",
    [
        {"reason": ""},
        {"reason": "   "},
        {"reason": "x" * 201},
        {"reason": "\u200b"},
        {"minutes": ""},
        {"minutes": "0"},
        {"minutes": "-30"},
        {"minutes": "100000"},
        {"minutes": "soon"},
        {"setting": ""},
        {"setting": "maybe"},
    ],
)
def test_a_form_that_is_not_right_changes_nothing(admin: Client, fields: dict[str, str]) -> None:
    response = admin.post(EMERGENCY, SET | fields)
    assert response.status_code == 200
    assert "errornote" in response.content.decode()
    assert not ModeChange.objects.exists()
    assert Mode.objects.get(pk="emergency").override is None


def test_the_list_says_what_is_on_and_why(admin: Client, manager: User) -> None:
    set_mode("queue", is_on=True, minutes=30, reason="the second stage opens", by=manager)
    shown = page(admin, MODES)
    for text in ("Emergency mode", "Queue mode", "the second stage opens", str(manager)):
        assert text in shown
    assert "load monitor" in shown


def test_the_page_shows_what_the_monitor_measured(admin: Client) -> None:
    assert decide(lambda: 12)
    shown = page(admin, EMERGENCY)
    assert "requests that wait: 12" in shown
    assert "database connections: " in shown


def test_the_history_has_all_changes(admin: Client, manager: User) -> None:
    set_mode("queue", is_on=True, minutes=30, reason="the second stage opens", by=manager)
    ModeChange.objects.create(
        mode="emergency", was_on=False, is_on=True, source="monitor", reason="error_percent 7.3"
    )
    shown = page(admin, HISTORY)
    for text in ("the second stage opens", str(manager), "7.3 % of requests fail", "load monitor"):
        assert text in shown
    assert admin.get(f"{HISTORY}add/").status_code == 403
    row = ModeChange.objects.latest("pk")
    assert admin.post(f"{HISTORY}{row.pk}/delete/", {"post": "yes"}).status_code == 403


def test_the_costs_of_the_history_do_not_grow(admin: Client, manager: User) -> None:
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    def queries() -> int:
        with CaptureQueriesContext(connection) as asked:
            page(admin, HISTORY)
        return len(asked)

    set_mode("queue", is_on=True, minutes=30, reason="one", by=manager)
    few = queries()
    for number in range(20):
        set_mode("queue", is_on=bool(number % 2), minutes=30, reason="more", by=manager)
    assert queries() == few


def test_who_may_only_see_modes_sets_none(client: Client) -> None:
    staff_with(client, "view_mode", "view_modechange")
    shown = page(client, EMERGENCY)
    assert 'name="setting"' not in shown
    assert 'name="_save"' not in shown
    assert client.post(EMERGENCY, SET).status_code == 403
    assert not ModeChange.objects.exists()
    page(client, HISTORY)


def test_who_may_change_modes_does(client: Client) -> None:
    account = staff_with(client, "view_mode", "change_mode")
    assert client.post(EMERGENCY, SET).status_code == 302
    assert ModeChange.objects.get().changed_by == account


@pytest.mark.parametrize("path", [MODES, EMERGENCY, HISTORY])
def test_others_see_nothing(client: Client, stranger: User, path: str) -> None:
    assert client.get(path).status_code == 302
    client.force_login(stranger)
    assert client.get(path).status_code == 302
    staff_with(client)
    assert client.get(path).status_code == 403


def test_nobody_adds_or_deletes_a_mode(admin: Client) -> None:
    assert admin.get(f"{MODES}add/").status_code == 403
    assert admin.post(f"{MODES}emergency/delete/", {"post": "yes"}).status_code == 403
    assert Mode.objects.count() == 2


def test_superusers_give_these_permissions_to_groups(admin: Client) -> None:
    shown: Any = page(admin, "/admin/auth/group/add/")
    assert "Modes: change" in shown
    assert "Changes of modes: view" in shown
