"""A mode that staff set in the real processes: each follows, and web creates guests directly."""

import re
from datetime import datetime, timedelta

import httpx
import pytest
from django.utils import timezone

from guests.models import Guest
from snap.control.modes import EMERGENCY
from snap.monitor.changes import leave_to_monitor, set_mode
from tests.factories import make_account, make_event
from tests.helpers.load import make_modes
from tests.helpers.sessions import session_of
from tests.helpers.stack import Stack, wait_for

pytestmark = [pytest.mark.processes, pytest.mark.slow]

PROCESSES = ("web", "ws", "worker", "emails", "sweeper")
# A process looks every 0.8 s. The rest is for a machine that is busy with other tests.
PATIENCE = timedelta(seconds=5)
LINE = re.compile(r"(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3}).*modes_followed modes=(\w+)")


def followed(stack: Stack, process: str, modes: str) -> list[datetime]:
    """Return when a process and its children said that they follow these modes."""
    found = []
    for at, said in LINE.findall(stack.log(process)):
        if said == modes:
            found.append(datetime.strptime(at, "%Y-%m-%d %H:%M:%S,%f").astimezone())
    return found


def request_place(stack: Stack, slug: str) -> str:
    """Request a place with HTMX and return the state of the ticket that the page shows."""
    path = f"/promo/{slug}/-/request/"
    with httpx.Client(base_url=stack.url, timeout=20, verify=False) as client:
        client.cookies.set("session", session_of(make_account()), domain="localhost.local")
        page = client.get(f"/promo/{slug}/").text
        found = re.search(r'name="csrfmiddlewaretoken" value="([^"]*)"', page)
        assert found
        headers = {"HX-Request": "true", "Referer": stack.url}
        response = client.post(path, data={"csrfmiddlewaretoken": found[1]}, headers=headers)
        shown = re.search(r'data-state="(\w+)', response.text)
        assert shown
        return shown[1]


def test_every_process_follows_a_mode_and_its_end(stack: Stack) -> None:
    make_modes()
    event = make_event()
    before = {name: len(followed(stack, name, "emergency")) for name in PROCESSES}
    began_at = timezone.now()
    set_mode(EMERGENCY, is_on=True, minutes=5, reason="rehearsal")
    for name in PROCESSES:
        wait_for(lambda name=name: len(followed(stack, name, "emergency")) > before[name])  # type: ignore[misc]
        seen = followed(stack, name, "emergency")[-1] - began_at
        print(f"{name}: {seen.total_seconds():.2f} s")
        assert seen < PATIENCE
    with stack.frozen("worker"), stack.frozen("sweeper"):
        assert request_place(stack, event.slug) == "created"
        assert Guest.objects.count() == 1
        ended = len(followed(stack, "web", "none"))
        leave_to_monitor(EMERGENCY, reason="over")
        wait_for(lambda: len(followed(stack, "web", "none")) >= ended + 2)
        assert request_place(stack, event.slug) == "processing"
