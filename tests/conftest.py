"""Fixtures for all tests: clean servers, the real processes, a real browser, accounts."""

import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import django_ratelimit.core
import pytest
from django.contrib.auth.models import Permission
from django.db import close_old_connections
from django.test import Client
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright
from pytest_django import DjangoDbBlocker, Settings

from accounts.models import User
from guests.models import Guest, Promoter
from snap.local_cache import reset_process_state
from tests import factories
from tests.helpers import servers
from tests.helpers.browser import PHONE_SCREEN
from tests.helpers.own_servers import own_postgresql
from tests.helpers.stack import Stack

# A new Chromium would otherwise fetch updates, lists and experiments from the internet.
CHROMIUM_ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options of `make faults`."""
    faults = parser.getgroup("faults")
    faults.addoption("--long", action="store_true", help="break things for as long as issue 3 says")
    faults.addoption("--soak", type=float, metavar="MINUTES", help="the length of the soak")
    faults.addoption("--report", type=Path, metavar="PATH", help="write down what was measured")


# Test processes -----------------------------------------------------------------------------------


def pytest_xdist_auto_num_workers() -> int:
    """Return two: each test process has servers of its own. With given servers there is one.

    A third process would save a tenth of the time, and make tests with short timeouts fail.
    """
    return 2 if servers.are_ours() else 0


def pytest_xdist_setupnodes() -> None:
    """Stop the servers of the process that only distributes tests."""
    servers.stop()


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run browser tests last.

    Playwright's synchronous interface runs an event loop in this thread while the browser lives.
    `async_to_sync` and `asyncio.run` fail beside a running loop.
    """
    items.sort(key=lambda item: "browser" in getattr(item, "fixturenames", ()))


# Servers ------------------------------------------------------------------------------------------


@pytest.fixture(autouse=True)
def _fresh_servers() -> Iterator[None]:
    """Start stopped servers again, and clear caches, limits, messages and the journal.

    The stack is frozen before this, so no late request can write a journal entry.
    """
    yield
    servers.freshen()
    servers.empty_journal()
    reset_process_state()


@pytest.fixture(autouse=True)
def _whole_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the minutes of django-ratelimit begin with the test.

    They are fixed: a minute that ends in the middle of a test forgets the failures before.
    """
    end = int(time.time()) + 60
    monkeypatch.setattr(django_ratelimit.core, "_get_window", lambda value, period: end)


@pytest.fixture
def stoppable_database(
    transactional_db: None, tmp_path: Path, settings: Settings
) -> Iterator[None]:
    """A database that the test may stop. It has an empty journal, and runs again afterwards."""
    own_postgresql()  # Skips the test without one.
    settings.JOURNAL_PATH = tmp_path / "journal.sqlite3"
    reset_process_state()
    yield
    reset_process_state()
    servers.freshen()
    close_old_connections()


@pytest.fixture
def cheap_challenges(settings: Settings) -> None:
    """Challenges that are solved at once."""
    settings.CHALLENGE_COST = 1


# Processes ----------------------------------------------------------------------------------------


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
    """All processes of the Procfile, on the test's database; its rows are committed."""
    _stack.wake()
    yield _stack
    _stack.sleep()


@pytest.fixture
def idle(stack: Stack) -> Iterator[Stack]:
    """The processes, with the two frozen that end requests."""
    with stack.frozen("worker"), stack.frozen("sweeper"):
        yield stack


# Browsers -----------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def chromium_path() -> str:
    """The path of Chromium. Without one, browser tests are skipped, and fail in CI.

    Debian's headless shell is the same browser without windows, and needs two thirds of the CPU.
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
    """One Chromium for all browser tests of a module. Its event loop ends with them."""
    with pytest.MonkeyPatch.context() as patch, sync_playwright() as playwright:
        # Because of that loop Django takes every query of a browser test for one in a coroutine.
        patch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "1")
        chromium = playwright.chromium.launch(
            executable_path=chromium_path, args=CHROMIUM_ARGUMENTS
        )
        yield chromium
        chromium.close()


@pytest.fixture
def phone(browser: Browser, stack: Stack) -> Iterator[BrowserContext]:
    """A browser context like a phone, with cookies of its own and the stack as base URL."""
    with browser.new_context(**PHONE_SCREEN, base_url=stack.url) as context:
        yield context


@pytest.fixture
def page(phone: BrowserContext) -> Page:
    """An empty page on a phone."""
    return phone.new_page()


@pytest.fixture
def page_without_js(browser: Browser, stack: Stack) -> Iterator[Page]:
    """An empty page on a phone without JavaScript."""
    with browser.new_context(
        **PHONE_SCREEN, base_url=stack.url, java_script_enabled=False
    ) as context:
        yield context.new_page()


# The cast -----------------------------------------------------------------------------------------


@pytest.fixture
def guest(db: None) -> Guest:
    """A guest on the list of an open event."""
    return factories.make_guest()


@pytest.fixture
def promoter(db: None) -> Promoter:
    """A promoter with an account."""
    return factories.make_promoter(account=factories.make_account())


@pytest.fixture
def door_staff(db: None) -> User:
    """An account that may view events and guests in admin, and nothing else."""
    account = factories.make_account(is_staff=True)
    may = Permission.objects.filter(codename__in=["view_event", "view_guest"])
    account.user_permissions.set(may)
    return account


@pytest.fixture
def manager(db: None) -> User:
    """A superuser."""
    return factories.make_staff()


@pytest.fixture
def admin(client: Client, manager: User) -> Client:
    """A browser in which the manager is signed in to admin."""
    client.force_login(manager)
    return client


@pytest.fixture
def stranger(db: None) -> User:
    """An account without places or permissions."""
    return factories.make_account()
