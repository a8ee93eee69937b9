"""What staff's work and upkeep do in emergency mode: exports ask first, upkeep waits."""

import pytest
from django.contrib.admin.models import LogEntry
from django.test import Client

from guests.management.commands.sweeper import MAX_POSTPONED_SECONDS, is_postponed
from guests.models import Guest
from guests.sweeps import SWEEPS
from snap.control.modes import EMERGENCY, QUEUE, slowed
from tests.helpers.load import mode_on

pytestmark = pytest.mark.django_db

CAN_WAIT = {"sweep_posters", "sweep_suspicious_activity"}


def test_in_emergency_mode_an_export_asks_first(admin: Client, guest: Guest) -> None:
    address = f"/admin/guests/event/{guest.event_id}/guest-list.csv"
    with mode_on(EMERGENCY):
        response = admin.get(address, follow=True, headers={"accept-language": "en"})
        assert "SNAP serves a crowd right now" in response.content.decode()
        assert f'href="{address}?now=1"' in response.content.decode()
        assert not LogEntry.objects.filter(object_id=guest.event_id).exists()
        exported = admin.get(f"{address}?now=1")
        assert guest.name in b"".join(exported).decode()
    assert guest.name in b"".join(admin.get(address)).decode()


def test_queue_mode_lets_exports_pass(admin: Client, guest: Guest) -> None:
    with mode_on(QUEUE):
        response = admin.get(f"/admin/guests/event/{guest.event_id}/guest-list.csv")
    assert guest.name in b"".join(response).decode()


def test_who_may_not_export_is_not_asked(client: Client, door_staff: object, guest: Guest) -> None:
    client.force_login(door_staff)  # type: ignore[arg-type]
    with mode_on(EMERGENCY):
        response = client.get(f"/admin/guests/event/{guest.event_id}/guest-list.csv")
    assert response.status_code == 403


@pytest.mark.parametrize("sweep", SWEEPS, ids=lambda sweep: sweep.name)
def test_emergency_mode_postpones_only_upkeep(sweep: object) -> None:
    name = sweep.name  # type: ignore[attr-defined]
    with mode_on(EMERGENCY):
        assert is_postponed(sweep, 0) is (name in CAN_WAIT)  # type: ignore[arg-type]
        assert not is_postponed(sweep, MAX_POSTPONED_SECONDS)  # type: ignore[arg-type]
    with mode_on(QUEUE):
        assert not is_postponed(sweep, 0)  # type: ignore[arg-type]
    assert not is_postponed(sweep, 0)  # type: ignore[arg-type]


def test_pages_of_staff_are_refreshed_less_often() -> None:
    with mode_on(EMERGENCY):
        assert slowed(1.0) == 5
    with mode_on(QUEUE):
        assert slowed(1.0) == 1
    assert slowed(1.0) == 1
