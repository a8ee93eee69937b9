"""A mode that staff set in the real processes: each follows, and web creates guests directly."""

import re
from datetime import datetime, timedelta

import httpx
import pytest
from django.utils import timezone

from guests.models import Guest
from snap.control.modes import EMERGENCY
from snap.models import HostReading, ModeChange
from snap.monitor.changes import leave_to_monitor, set_mode
from tests.factories import make_account, make_event
from tests.helpers.load import make_modes
from tests.helpers.sessions import session_of
from tests.helpers.stack import Stack, wait_for

pytestmark = [pytest.mark.processes, pytest.mark.slow]

METRICS = (
    'load_mode{mode="emergency"} 1.0',
    'load_mode_changes_total{mode="emergency",source="monitor"}',
    "error_rate_percent 0.0",
)
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


def metrics_of(stack: Stack) -> str:
    return httpx.get(f"{stack.url}/metrics", verify=False).text


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


def test_slow_responses_of_web_begin_emergency_mode(stack: Stack) -> None:
    """From the response of a web process to the mode in another: metric files, rows, snapshot."""
    make_modes()
    event = make_event()
    quick = {"MONITOR_SECONDS": "1", "MONITOR_LEAST_REQUESTS": "5", "MONITOR_RESPONSE_MS": "0.1"}
    stack.restart("sweeper", **quick)
    try:
        wait_for(lambda: HostReading.objects.exists(), timeout=30)
        for _ in range(10):
            httpx.get(f"{stack.url}/promo/{event.slug}/", verify=False)
        change = wait_for(lambda: ModeChange.objects.filter(is_on=True).first(), timeout=20)
        assert change is not None
        assert (change.mode, change.source) == (EMERGENCY, "monitor")
        assert change.reason.startswith("response_ms ")
        wait_for(lambda: followed(stack, "web", "emergency"))
        for line in METRICS:
            wait_for(lambda line=line: line in metrics_of(stack))  # type: ignore[misc]
    finally:
        stack.restart("sweeper")
