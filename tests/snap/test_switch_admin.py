"""The page of the switches: who may turn what, and what the history keeps."""

import re

import pytest
from django.contrib.admin.models import LogEntry
from django.core.management import call_command
from django.test import Client
from waffle.models import Flag, Sample

from accounts.models import User
from snap.control import snapshot
from snap.control.rows import add_missing_rows
from snap.control.switches import is_on, known_switches
from snap.models import Switch
from tests.helpers.admin import admin_client, admin_url, staff_with
from tests.helpers.own_servers import own_valkey

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _rows(db: None) -> None:
    add_missing_rows()


@pytest.fixture
def admin() -> Client:
    return admin_client(staff_with("view_switch", "change_switch"))


def row(name: str) -> Switch:
    found: Switch = Switch.objects.get(name=name)
    return found


def change(admin: Client, switch: str, /, **form: str) -> str:
    url = admin_url("snap_switch_change", row(switch).pk)
    return admin.post(url, form, follow=True).content.decode()


def choose(admin: Client, action: str, *names: str) -> str:
    form = {"action": action, "_selected_action": [row(name).pk for name in names]}
    return admin.post(admin_url("snap_switch_changelist"), form, follow=True).content.decode()


def plain(page: str) -> str:
    return " ".join(re.sub(r"<[^>]+>", " ", page).split())


# Reading ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("language", "words"),
    [
        ("en", ["Check-in", "Nobody is checked in", "Emails: QR code", "wait in the queue"]),
        ("pt", ["Entradas à porta", "Ninguém entra", "Emails: código QR", "ficam em espera"]),
    ],
)
def test_staff_read_what_each_switch_turns_off(
    admin: Client, language: str, words: list[str]
) -> None:
    headers = {"accept-language": language}
    page = plain(admin.get(admin_url("snap_switch_changelist"), headers=headers).content.decode())
    for word in words:
        assert word in page
    for switch in known_switches():
        assert Switch.objects.filter(name=switch.name).exists()


def test_those_that_are_off_come_first(admin: Client) -> None:
    Switch.objects.filter(name="qr_pool").update(active=False)
    page = admin.get(admin_url("snap_switch_changelist")).content.decode()
    assert page.index("QR codes made ahead") < page.index("Line past the admission rate")


def test_the_first_page_of_admin_leads_there(admin: Client) -> None:
    page = admin.get("/admin/").content.decode()
    assert admin_url("snap_switch_changelist") in page
    assert "django-waffle" not in page


def test_a_switch_of_another_release_says_so(admin: Client) -> None:
    Switch.objects.create(name="of_tomorrow", active=True)
    page = admin.get(admin_url("snap_switch_changelist")).content.decode()
    assert "Only another release of SNAP knows this switch." in page


# Turning ------------------------------------------------------------------------------------------


def test_staff_turn_a_switch_off_with_a_reason(
    admin: Client, caplog: pytest.LogCaptureFixture
) -> None:
    page = plain(change(admin, "batching", note="The database is slow"))
    assert "Workers end one request" in page, "what follows is said"
    snapshot.refresh()
    assert not is_on("batching")
    entry = LogEntry.objects.get()
    assert entry.get_change_message() == "Turned off. The database is slow"
    assert entry.user.is_staff
    (logged,) = [each for each in caplog.records if each.message == "switch_turned_off"]
    assert vars(logged)["switch"] == "batching"
    page = admin.get(admin_url("snap_switch_change", row("batching").pk)).content.decode()
    assert "Turned off. The database is slow" in plain(page)
    change(admin, "batching", active="on", note="")
    snapshot.refresh()
    assert is_on("batching")
    assert LogEntry.objects.latest("pk").get_change_message() == "Turned on."


def test_only_the_reason_can_change(admin: Client) -> None:
    change(admin, "batching", active="on", note="Looking into it")
    assert row("batching").active
    assert LogEntry.objects.get().get_change_message() == "Reason: Looking into it"


def test_staff_turn_several_switches_at_once(admin: Client) -> None:
    assert "2 switches are off." in choose(admin, "turn_off", "batching", "qr_pool")
    assert not Switch.objects.filter(name__in=["batching", "qr_pool"], active=True).exists()
    assert LogEntry.objects.count() == 2
    assert "0 switches are off." in choose(admin, "turn_off", "batching")
    assert LogEntry.objects.count() == 2, "what was off already has not changed"
    assert "1 switch is on." in choose(admin, "turn_on", "batching", "check_in")


def test_the_name_stays_whatever_a_form_says(admin: Client) -> None:
    change(admin, "batching", name="another", active="on")
    assert row("batching").active


def test_no_switch_is_added_or_deleted(admin: Client, manager: User) -> None:
    for client in (admin, admin_client(manager)):
        assert client.get(admin_url("snap_switch_add")).status_code == 403
        delete = admin_url("snap_switch_delete", row("batching").pk)
        assert client.post(delete, {"post": "yes"}).status_code == 403
        choose(client, "delete_selected", "batching")
        assert row("batching")


@pytest.mark.parametrize("permissions", [[], ["view_switch"]])
def test_who_may_not_change_switches_changes_none(permissions: list[str]) -> None:
    client = admin_client(staff_with(*permissions))
    url = admin_url("snap_switch_change", row("batching").pk)
    assert client.get(url).status_code == (200 if permissions else 403)
    assert client.post(url, {}).status_code == 403
    choose(client, "turn_off", "batching")
    assert row("batching").active


def test_flags_and_samples_are_not_in_admin(manager: User) -> None:
    client = admin_client(manager)
    for model in (Flag, Sample):
        assert client.get(f"/admin/waffle/{model._meta.model_name}/").status_code == 404


def test_a_switch_is_turned_while_valkey_is_away(admin: Client) -> None:
    """waffle empties its cache after each change."""
    own_valkey().stop("immediate")
    change(admin, "batching", note="")
    assert not row("batching").active


def test_another_migration_changes_nothing(admin: Client) -> None:
    change(admin, "batching", note="why")
    call_command("migrate", verbosity=0)
    assert (row("batching").active, row("batching").note) == (False, "why")
