"""The helpers that start, stop and freeze processes, and the phones of browser tests."""

import signal
from pathlib import Path

import httpx
import psutil
import pytest
from django.contrib.auth import get_user_model
from django.db import connection
from playwright.sync_api import Page

from tests.helpers.local_run import is_alive
from tests.helpers.stack import Stack, http, wait_for

pytestmark = pytest.mark.processes


def test_processes_work_on_the_database_of_the_tests(stack: Stack) -> None:
    get_user_model().objects.count()
    name = connection.settings_dict["NAME"]
    assert name.startswith("test_")
    program = "from django.db import connection; print(connection.settings_dict['NAME'])"
    assert stack.manage("shell", "--verbosity", "0", "--command", program).strip() == name
    assert http.get(f"{stack.url}/readyz").json()["level"] == 1


def test_a_killed_process_can_be_started_again(stack: Stack) -> None:
    stack.kill("web")
    with pytest.raises(httpx.TransportError):
        http.get(f"{stack.url}/healthz")
    stack.start("web")
    assert http.get(f"{stack.url}/healthz").text == "ok"


def test_a_frozen_process_responds_after_the_block(stack: Stack) -> None:
    with stack.frozen("web"), pytest.raises(httpx.TimeoutException):
        http.get(f"{stack.url}/healthz", timeout=0.5)
    assert http.get(f"{stack.url}/healthz").text == "ok"


@pytest.mark.slow
def test_workers_can_be_stopped_during_a_block(stack: Stack) -> None:
    with stack.without("worker"):
        assert "ready." in stack.log("emails")
    assert stack.log("worker").count(" ready.") >= 2


def test_the_emails_process_has_a_lower_priority(stack: Stack) -> None:
    def niceness(name: str) -> str:
        autogroup = Path(f"/proc/{stack.pid(name)}/autogroup")
        if not autogroup.exists():
            pytest.skip("this kernel does not share the processor between sessions")
        return autogroup.read_text().split("nice")[1].strip()

    assert (niceness("emails"), niceness("worker"), niceness("web")) == ("10", "0", "0")


@pytest.mark.browser
def test_a_phone_opens_a_page(page: Page) -> None:
    assert page.goto("/healthz")
    assert page.inner_text("body") == "ok"
    seen = page.evaluate("[screen.width, devicePixelRatio, navigator.language]")
    assert seen == [390, 2, "pt-PT"]
    # The test may query the database although Playwright's event loop runs.
    assert get_user_model().objects.count() == 0


@pytest.mark.browser
def test_a_phone_without_javascript_runs_none(page_without_js: Page) -> None:
    page_without_js.set_content("<body>kept<script>document.body.remove()</script>")
    assert page_without_js.inner_text("body") == "kept"


def test_workers_publish_no_events_of_celery() -> None:
    """Celery publishes them again and again while the broker is away, and ignores SIGTERM then."""
    commands = [line for line in Path("Procfile").read_text().splitlines() if " celery " in line]
    assert len(commands) == 2
    for command in commands:
        assert {"--without-heartbeat", "--without-gossip"} <= set(command.split())


@pytest.mark.slow
@pytest.mark.parametrize("name", ["emails", "sweeper", "web", "worker", "ws"])
def test_each_process_ends_at_a_storm_of_signals(stack: Stack, name: str) -> None:
    """`make run` that is killed sends several: the kernel sends one for each of its threads."""
    leader = psutil.Process(stack.pid(name))
    for _ in range(200):
        leader.send_signal(signal.SIGTERM)
    try:
        wait_for(lambda: not is_alive(leader), 60)
    finally:
        stack.restart(name)
