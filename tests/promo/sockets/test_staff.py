"""The websocket of the dashboard: who may watch, and what is pushed when."""

import re
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from datetime import timedelta

import pytest
from django.utils import timezone
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection

from accounts.models import User
from guests.models import Event, NightCounts
from promo.sockets.staff import CHECK_SECONDS
from snap.models import Mode
from tests.factories import make_account, make_event, make_guest, make_staff
from tests.helpers.admin import staff_cookie_of, staff_with
from tests.helpers.outages import start_database, stop_database
from tests.helpers.own_servers import own_postgresql
from tests.helpers.sessions import cookie_of
from tests.helpers.sockets import open_socket, refused_status
from tests.helpers.stack import Stack, wait_for

pytestmark = pytest.mark.processes

PART = re.compile(r'data-part="([a-z0-9-]+)"')
TONIGHT = "-"
OUTAGE = "Os números são os últimos conhecidos."


def parts_in(message: str) -> set[str]:
    return set(PART.findall(message))


def next_message(opened: ClientConnection) -> str:
    return str(opened.recv(timeout=10))


def wait_for_text(opened: ClientConnection, text: str, seconds: float = 10) -> str:
    """Return the first message with a text."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if text in (message := next_message(opened)):
            return message
    raise AssertionError(text)


def wait_for_message(
    opened: ClientConnection, is_wanted: Callable[[set[str]], bool], rounds: int = 5
) -> str:
    """Return the first of the next messages whose parts are wanted."""
    for _ in range(rounds):
        if is_wanted(parts_in(message := next_message(opened))):
            return message
    raise AssertionError(f"not in {rounds} messages")


def taken(size: int) -> str:
    return f"<strong>{size}</strong>"


def test_a_viewer_gets_all_parts_at_once_and_then_those_that_change(stack: Stack) -> None:
    event = make_event()
    with open_socket(
        stack, event.slug, kind="staff", cookie=staff_cookie_of(make_staff())
    ) as opened:
        first = next_message(opened)
        assert "data-full" in first
        assert parts_in(first) >= {"state", "numbers", "curve-plot", "promoters-table", "system"}
        assert taken(0) in first
        make_guest(event)
        changed = wait_for_text(opened, taken(1))
        assert "data-full" not in changed
        assert "numbers" in parts_in(changed)
        assert parts_in(first) - parts_in(changed)
        # The event is read a moment before the guests are counted, so its numbers can change twice.
        assert "data-as-of" in wait_for_message(opened, lambda parts: "numbers" not in parts)


def test_a_viewer_who_comes_back_sees_what_happened_meanwhile(stack: Stack) -> None:
    """With the first message. It can be a second old, so another viewer watches meanwhile."""
    event, cookie = make_event(), staff_cookie_of(make_staff())
    with open_socket(stack, TONIGHT, kind="staff", cookie=cookie) as opened:
        wait_for_text(opened, taken(0))
    make_guest(event)
    with open_socket(stack, TONIGHT, kind="staff", cookie=cookie) as watching:
        wait_for_text(watching, taken(1))
    with open_socket(stack, TONIGHT, kind="staff", cookie=cookie) as opened:
        first = next_message(opened)
        assert "data-full" in first
        assert taken(1) in first


def test_an_event_that_is_published_meanwhile_comes_with_all_parts(stack: Stack) -> None:
    event = make_event(is_published=False)
    cookie = staff_cookie_of(make_staff())
    with open_socket(stack, TONIGHT, kind="staff", cookie=cookie) as opened:
        next_message(opened)
        Event.objects.update(is_published=True)
        assert "data-full" in wait_for_text(opened, f'data-part="now-{event.pk}"')


def test_rights_and_language_are_those_of_the_viewer(stack: Stack) -> None:
    make_guest()
    few = staff_cookie_of(staff_with("view_event"))
    with open_socket(
        stack, TONIGHT, kind="staff", cookie=few, **{"Accept-Language": "pt-PT"}
    ) as opened:
        message = wait_for_text(opened, "na lista")
        assert "system" not in parts_in(message)
        assert "Pedidos" not in message


def test_only_staff_may_watch(stack: Stack) -> None:
    guest = make_guest()
    event = guest.event
    boss = make_staff()
    refused = ["", cookie_of(make_account()), cookie_of(guest.account), cookie_of(boss)]
    refused += [staff_cookie_of(staff_with()), staff_cookie_of(staff_with("view_guest"))]
    for page in (TONIGHT, event.slug):
        for cookie in refused:
            assert refused_status(stack, page, kind="staff", cookie=cookie) == 403
    own = staff_cookie_of(boss)
    evil = "https://evil.example"
    assert refused_status(stack, TONIGHT, kind="staff", cookie=own, origin=evil) == 403
    system_only = staff_cookie_of(staff_with("view_mode"))
    assert refused_status(stack, event.slug, kind="staff", cookie=system_only) == 403
    with open_socket(stack, TONIGHT, kind="staff", cookie=system_only) as opened:
        assert parts_in(next_message(opened)) == {"state", "system"}


def test_the_socket_of_no_event_is_closed(stack: Stack) -> None:
    cookie = staff_cookie_of(make_staff())
    with (
        open_socket(stack, "nothing", kind="staff", cookie=cookie) as opened,
        pytest.raises(ConnectionClosed),
    ):
        next_message(opened)


def test_signing_out_closes_the_socket_at_once(stack: Stack) -> None:
    """By a push, which a busy machine can delay, and not by the next check of all sessions."""
    account = make_staff()
    with open_socket(stack, TONIGHT, kind="staff", cookie=staff_cookie_of(account)) as opened:
        next_message(opened)
        account.sign_out_everywhere()
        assert closing_code(opened, seconds=CHECK_SECONDS - 1) == 1000


@pytest.mark.slow
def test_a_lost_permission_closes_the_socket_within_seconds(stack: Stack) -> None:
    losses: list[tuple[User, Callable[[User], None]]] = [
        (staff_with("view_event"), lambda account: account.user_permissions.set([])),
        (staff_with("view_event"), lambda account: update(account, is_staff=False)),
        (staff_with("view_event"), lambda account: update(account, is_active=False)),
    ]
    stays = staff_with("view_event")
    with ExitStack() as opened:
        sockets = []
        for account in [*(account for account, _ in losses), stays]:
            cookie = staff_cookie_of(account)
            sockets.append(
                opened.enter_context(open_socket(stack, TONIGHT, kind="staff", cookie=cookie))
            )
        for account, lose in losses:
            lose(account)
        for each in sockets[:-1]:
            assert closing_code(each, seconds=9) == 1000
        assert "data-as-of" in next_message(sockets[-1])


def update(account: User, **fields: bool) -> None:
    User.objects.filter(pk=account.pk).update(**fields)


def closing_code(opened: ClientConnection, *, seconds: float) -> int:
    """Read messages until the server closes the socket, and return its code."""
    until = time.monotonic() + seconds
    while opened.close_code is None and time.monotonic() < until:
        with suppress(ConnectionClosed, TimeoutError):
            opened.recv(timeout=max(0.0, until - time.monotonic()))
    assert opened.close_code is not None, "the socket stays open"
    return opened.close_code


def set_emergency_mode(is_on: bool) -> None:
    by_hand = {"override": is_on, "override_reason": "tests"}
    until = timezone.now() + timedelta(minutes=5)
    Mode.objects.update_or_create(name="emergency", defaults=by_hand | {"override_until": until})


@pytest.mark.slow
def test_emergency_mode_slows_the_dashboard_down(stack: Stack) -> None:
    set_emergency_mode(True)
    with open_socket(stack, TONIGHT, kind="staff", cookie=staff_cookie_of(make_staff())) as opened:
        wait_for_text(opened, 'data-seconds="5.0"', seconds=15)
        began = time.monotonic()
        next_message(opened)
        assert time.monotonic() - began > 3
        set_emergency_mode(False)
        wait_for_text(opened, 'data-seconds="1.0"', seconds=15)


@pytest.mark.slow
def test_two_hundred_viewers_cost_one_count_a_second(stack: Stack) -> None:
    """They see each change, and guests hear of their places as soon as without them."""
    event = make_event()
    cookies = [staff_cookie_of(make_staff()) for _ in range(20)]
    with ExitStack() as opened:
        sockets = []
        for number in range(200):
            page = event.slug if number % 2 else TONIGHT
            sockets.append(
                opened.enter_context(
                    open_socket(stack, page, kind="staff", cookie=cookies[number % 20])
                )
            )
        for each in sockets:
            next_message(each)
        make_guest(event)
        for each in sockets:
            wait_for_text(each, taken(1))
        assert 2 <= len(counts_in(4)) <= 6
    # Nobody watches any more.
    wait_for(lambda: len(counts_in(2)) == 1, timeout=15)


def counts_in(seconds: float) -> set[object]:
    """Return the different times at which the shared row was counted, as seen for some seconds."""
    until = time.monotonic() + seconds
    seen: set[object] = set()
    while time.monotonic() < until:
        seen.add(NightCounts.objects.values_list("counted_at", flat=True).get())
        time.sleep(0.05)
    return seen


@pytest.mark.slow
def test_an_outage_of_the_database_is_told_and_the_last_numbers_stay(stack: Stack) -> None:
    own_postgresql()  # Skips the test without one.
    event = make_event()
    make_guest(event)
    cookie = staff_cookie_of(make_staff())
    with open_socket(stack, event.slug, kind="staff", cookie=cookie) as opened:
        assert taken(1) in next_message(opened)
        stop_database()
        try:
            assert "state" in parts_in(wait_for_text(opened, OUTAGE, seconds=30))
            time.sleep(CHECK_SECONDS)
            assert "data-as-of" in next_message(opened)
        finally:
            start_database()
        make_guest(event)
        wait_for_text(opened, taken(2), seconds=30)
    with open_socket(stack, event.slug, kind="staff", cookie=cookie) as opened:
        assert OUTAGE not in next_message(opened)
