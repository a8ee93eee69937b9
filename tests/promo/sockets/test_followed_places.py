"""Sockets of pages with a place: they stay open, and hear of each change of place and event."""

import re
from contextlib import ExitStack
from urllib.parse import parse_qs, urlsplit

import pytest
from django.conf import settings
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection

from accounts.models import User
from accounts.sessions import SESSION_ID_KEY
from guests.models import Guest, GuestRequest
from guests.passes.holders import PASSES_KEY, SIGNATURE_FIELD, link_for_holder
from guests.requests.pushes import event_group, places_group, push_event_changed
from guests.requests.waiting_list import cancel_guests
from notifications.push import push
from tests.factories import make_account, make_event, make_guest
from tests.helpers.sessions import SessionStore, cookie_of
from tests.helpers.sockets import open_socket, receive, refused_status
from tests.helpers.stack import Stack

pytestmark = pytest.mark.processes

NOW = "refresh 0 0.0"


def _text(opened: ClientConnection) -> str:
    return str(opened.recv(timeout=10))


def _cookie_with_link(guest: Guest, session_id: str = "a" * 16) -> str:
    """Return the cookie of a browser that opened the link from the email, and is not signed in."""
    query = parse_qs(urlsplit(link_for_holder(guest)).query)
    session = SessionStore()
    session[SESSION_ID_KEY] = session_id
    session[PASSES_KEY] = [f"{query[SIGNATURE_FIELD][0]} {session_id}"]
    session.save()
    return f"{settings.SESSION_COOKIE_NAME}={session.session_key}"


# Passes -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("by_link", [False, True])
def test_an_open_pass_is_told_to_load_again(stack: Stack, manager: User, *, by_link: bool) -> None:
    guest = make_guest()
    cookie = _cookie_with_link(guest) if by_link else cookie_of(guest.account)
    with open_socket(stack, guest.qr_token, kind="pass", cookie=cookie) as opened:
        push_event_changed(guest.event_id)
        assert re.fullmatch(r"refresh [\d.]+ 0\.0", _text(opened))
        cancel_guests(guest.event_id, [guest.pk], acting_user=manager)
        assert _text(opened) == NOW


def test_only_the_holder_of_a_pass_may_open_its_socket(stack: Stack) -> None:
    guest, other = make_guest(), make_guest()
    token, own = guest.qr_token, cookie_of(guest.account)
    evil = "https://evil.example"
    assert refused_status(stack, token, kind="pass") == 403
    for cookie in (cookie_of(make_account()), cookie_of(other.account), _cookie_with_link(other)):
        assert refused_status(stack, token, kind="pass", cookie=cookie) == 403
    assert refused_status(stack, token, kind="pass", cookie=own, origin=evil) == 403
    assert refused_status(stack, "nobody-has-this-token", kind="pass", cookie=own) == 403
    guest.account.sign_out_everywhere()
    assert refused_status(stack, token, kind="pass", cookie=own) == 403


def test_a_code_that_was_revoked_still_has_a_socket_for_its_holder(
    stack: Stack, manager: User
) -> None:
    """Its page says that the place is gone, and the place may come back."""
    guest = make_guest()
    cancel_guests(guest.event_id, [guest.pk], acting_user=manager)
    with open_socket(stack, guest.qr_token, kind="pass", cookie=cookie_of(guest.account)) as opened:
        push_event_changed(guest.event_id)
        assert _text(opened).startswith("refresh")


def test_signing_out_closes_the_socket_of_a_pass_that_a_link_opened(stack: Stack) -> None:
    guest = make_guest()
    cookie = _cookie_with_link(guest, "b" * 16)
    with open_socket(stack, guest.qr_token, kind="pass", cookie=cookie) as opened:
        guest.account.end_session("c" * 16)  # Another browser.
        push_event_changed(guest.event_id)
        assert _text(opened).startswith("refresh")
        guest.account.end_session("b" * 16)
        with pytest.raises(ConnectionClosed):
            opened.recv(timeout=10)
        assert opened.close_code == 1000


# Tickets ------------------------------------------------------------------------------------------


def test_a_waiting_guest_hears_of_the_place_in_json_and_on_the_page(
    stack: Stack, manager: User
) -> None:
    event = make_event(capacity=1)
    first, waiting = make_guest(event), make_guest(event)
    ticket_id = GuestRequest.objects.get(guest=waiting).ticket_id
    cookie = cookie_of(waiting.account)
    with (
        open_socket(stack, ticket_id, cookie=cookie) as updates,
        open_socket(stack, ticket_id, cookie=cookie, kind="promo") as page,
    ):
        assert receive(updates)["type"] == "guest_waitlisted"
        assert 'data-state="waitlisted-1"' in _text(page)
        cancel_guests(event.pk, [first.pk], acting_user=manager)
        assert receive(updates)["type"] == "guest_created"
        assert 'data-state="created"' in _text(page)
        with pytest.raises(ConnectionClosed):
            updates.recv(timeout=10)
        assert updates.close_code == 1000
        # The page's own socket stays open: the place can be taken back.
        cancel_guests(event.pk, [waiting.pk], acting_user=manager)
        assert _text(page) == NOW


def test_a_hint_that_changes_nothing_in_json_is_not_sent(stack: Stack, manager: User) -> None:
    event = make_event(capacity=1)
    first, waiting = make_guest(event), make_guest(event)
    ticket_id = GuestRequest.objects.get(guest=waiting).ticket_id
    with open_socket(stack, ticket_id, cookie=cookie_of(waiting.account)) as updates:
        assert receive(updates)["type"] == "guest_waitlisted"
        push_event_changed(event.pk)
        cancel_guests(event.pk, [first.pk], acting_user=manager)
        assert receive(updates)["type"] == "guest_created"


def test_a_hint_about_another_event_is_ignored(stack: Stack, manager: User) -> None:
    guest = make_guest()
    elsewhere = make_guest(account=guest.account)
    ticket_id = GuestRequest.objects.get(guest=guest).ticket_id
    cookie = cookie_of(guest.account)
    with open_socket(stack, ticket_id, cookie=cookie, kind="promo") as page:
        assert 'data-state="created"' in _text(page)
        cancel_guests(elsewhere.event_id, [elsewhere.pk], acting_user=manager)
        push_event_changed(elsewhere.event_id)
        push_event_changed(guest.event_id)
        text = _text(page)
        assert text.startswith("refresh")
        assert text != NOW


def test_messages_of_the_next_release_are_ignored(stack: Stack) -> None:
    guest = make_guest()
    cookie = cookie_of(guest.account)
    with open_socket(stack, guest.qr_token, kind="pass", cookie=cookie) as opened:
        push(places_group(guest.account_id), {"type": "seat.changed", "seat": 12})
        push(event_group(guest.event_id), {"type": "event.moved"})
        push_event_changed(guest.event_id)
        assert _text(opened).startswith("refresh")


def test_the_spread_grows_with_the_open_pages_of_the_event(stack: Stack) -> None:
    guest = make_guest()
    cookie = cookie_of(guest.account)
    with ExitStack() as sockets:
        opened = []
        for _ in range(40):
            page = open_socket(stack, guest.qr_token, kind="pass", cookie=cookie)
            opened.append(sockets.enter_context(page))
        push_event_changed(guest.event_id)
        assert {_text(each).split()[2] for each in opened} == {"0.2"}
