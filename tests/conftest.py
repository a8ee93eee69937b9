"""Fixtures that every test may use: clean servers, the real processes, a real browser."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import Permission
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright
from pytest_django import DjangoDbBlocker

from accounts.models import User
from guests.models import Guest, Promoter
from snap.limits import counters as limits
from snap.local_cache import clear_local_caches
from snap.resilience import database
from tests import factories
from tests.helpers import servers
from tests.helpers.stack import Stack

PHONE: dict[str, Any] = {
    "viewport": {"width": 390, "height": 844},
    "device_scale_factor": 2,
    "is_mobile": True,
    "has_touch": True,
    "locale": "pt-PT",
    # Nobody looks: to draw what turns while a page waits takes a whole core without a GPU.
    "reduced_motion": "reduce",
}
# No network but ours: a fresh Chromium asks its maker for updates, lists and experiments.
CHROMIUM_ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add what `make faults` says to tests/faults."""
    faults = parser.getgroup("faults")
    faults.addoption("--long", action="store_true", help="break things for as long as issue 3 says")
    faults.addoption("--soak", type=float, metavar="MINUTES", help="the length of the soak")
    faults.addoption("--report", type=Path, metavar="PATH", help="write down what was measured")


# Two processes of tests ------------------------------------------------------------------------


def pytest_xdist_auto_num_workers() -> int:
    """Have two processes, each with its own servers; one where the tests are given a server.

    A third one would save a tenth of the time, and starve tests of those who have little patience.
    """
    return 2 if servers.are_ours() else 0


def pytest_xdist_setupnodes() -> None:
    """Stop the servers of the process that only hands out the tests."""
    servers.stop()


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run browser tests last.

    Playwright's synchronous interface leaves an event loop running in this thread for as long as
    the browser lives, and `async_to_sync` and `asyncio.run` refuse to work beside one.
    """
    items.sort(key=lambda item: "browser" in getattr(item, "fixturenames", ()))


# Servers ---------------------------------------------------------------------------------------


@pytest.fixture(autouse=True)
def _fresh_servers() -> Iterator[None]:
    """Start what the test has stopped, and leave no cache, limit or message to the next one.

    Nor an entry of the journal: the stack is frozen by now, and no late request can write one.
    """
    yield
    servers.freshen()
    servers.empty_journal()
    limits.breaker.succeeded()
    database.breaker.succeeded()
    limits.local.clear()
    clear_local_caches()


# Processes -------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def _stack(
    django_db_setup: None,
    django_db_blocker: DjangoDbBlocker,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Stack]:
    with django_db_blocker.unblock():
        stack = Stack(tmp_path_factory.mktemp("stack"))
    try:
        stack.open()
        yield stack
    finally:
        stack.close()


@pytest.fixture
def stack(_stack: Stack, transactional_db: None) -> Iterator[Stack]:
    """The Procfile's processes, all running, over the test's own (committed) rows."""
    _stack.wake()
    yield _stack
    _stack.sleep()


# Browsers --------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def chromium_path() -> str:
    """Where Chromium is. Without one a browser test is skipped, and fails in CI.

    Debian's headless shell is the same browser without its windows, for two thirds of the CPU.
    """
    for name in ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome"):
        if path := shutil.which(name):
            return path
    message = "BROWSER TESTS NEED CHROMIUM: install it with `apt-get install chromium`"
    if os.environ.get("CI") == "true":
        pytest.fail(message)
    pytest.skip(message)


@pytest.fixture(scope="module")
def browser(chromium_path: str) -> Iterator[Browser]:
    """One Chromium for all browser tests of a module, and no event loop after them."""
    with pytest.MonkeyPatch.context() as patch, sync_playwright() as playwright:
        # That loop has Django take every query of a browser test for one made in a coroutine. None
        # of them is.
        patch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "1")
        chromium = playwright.chromium.launch(
            executable_path=chromium_path, args=CHROMIUM_ARGUMENTS
        )
        yield chromium
        chromium.close()


@pytest.fixture
def phone(browser: Browser, stack: Stack) -> Iterator[BrowserContext]:
    """A phone of its own (cookies, storage) that resolves paths against the stack's address."""
    with browser.new_context(**PHONE, base_url=stack.url) as context:
        yield context


@pytest.fixture
def page(phone: BrowserContext) -> Page:
    """An empty page on a phone."""
    return phone.new_page()


@pytest.fixture
def page_without_js(browser: Browser, stack: Stack) -> Iterator[Page]:
    """An empty page on a phone whose owner has turned JavaScript off."""
    with browser.new_context(**PHONE, base_url=stack.url, java_script_enabled=False) as context:
        yield context.new_page()


# The cast --------------------------------------------------------------------------------------


@pytest.fixture
def guest(db: None) -> Guest:
    """Somebody on the list of an event that is open."""
    return factories.make_guest()


@pytest.fixture
def promoter(db: None) -> Promoter:
    """A promoter with an account of their own."""
    return factories.make_promoter(account=factories.make_account())


@pytest.fixture
def door_staff(db: None) -> User:
    """An account that may look at events and guests in admin, and change nothing."""
    account = factories.make_account(is_staff=True)
    may = Permission.objects.filter(codename__in=["view_event", "view_guest"])
    account.user_permissions.set(may)
    return account


@pytest.fixture
def manager(db: None) -> User:
    """An account that may do everything."""
    return factories.make_staff()


@pytest.fixture
def stranger(db: None) -> User:
    """An account that has nothing to do with any event."""
    return factories.make_account()
