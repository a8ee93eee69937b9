"""Who may see a ticket: page, API and both sockets decide alike."""

from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest
from django.conf import settings
from django.utils import timezone
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect
from websockets.typing import Origin

from accounts.models import User
from accounts.sessions import BROWSER_KEY, TICKETS_KEY
from guests.models import DeadEntry, GuestRequest
from tests.factories import make_account, make_event, make_guest
from tests.helpers.sessions import SessionStore, session_of
from tests.helpers.stack import Stack, http

pytestmark = pytest.mark.processes

BROWSER = "b" * 32
Session = dict[str, Any]


def cookie(session: Session, account: User | None = None) -> str:
    """Return the Cookie header of a browser with these values in its session."""
    store = SessionStore(session_of(account)) if account else SessionStore()
    store.update(session)
    store.save()
    return f"{settings.SESSION_COOKIE_NAME}={store.session_key}"


def registered_in_an_emergency() -> GuestRequest:
    """Return a ticket with a QR code, whose account a browser registered in an outage."""
    account = make_account()
    User.objects.filter(pk=account.pk).update(browser=BROWSER)
    guest = make_guest(account=account)
    GuestRequest.objects.filter(guest=guest).update(browser=BROWSER)
    return GuestRequest.objects.select_related("account", "event", "guest").get(guest=guest)


def token_of(request: GuestRequest) -> str:
    assert request.guest is not None
    return request.guest.qr_token or ""


def by_page(stack: Stack, request: GuestRequest, cookie: str) -> str:
    url = f"{stack.url}/promo/{request.event.slug}/ticket/{request.ticket_id}/"
    return http.get(url, headers={"Cookie": cookie}).text


def by_api(stack: Stack, request: GuestRequest, cookie: str) -> str:
    url = f"{stack.url}/api/client-auth/guests/requests/{request.ticket_id}"
    return http.get(url, headers={"Cookie": cookie}).text


def by_socket(stack: Stack, request: GuestRequest, cookie: str, kind: str) -> str:
    """Return all messages of a socket until it closes or is silent, "" when it is refused."""
    url = f"ws://localhost:{stack.ws_port}/ws/{kind}/{request.ticket_id}/"
    received = ""
    try:
        with connect(
            url,
            origin=Origin(stack.url),
            additional_headers={"Cookie": cookie},
            proxy=None,
        ) as opened:
            while True:
                received += str(opened.recv(timeout=1))
    except (InvalidStatus, ConnectionClosed, TimeoutError):
        return received


# Viewers by name, each with a function that returns their cookie for a request.
VIEWERS: dict[str, Callable[[GuestRequest], str]] = {
    "nobody": lambda request: cookie({}),
    "a stranger": lambda request: cookie({}, make_account()),
    "a stranger in a browser with the same id": lambda request: cookie(
        {BROWSER_KEY: BROWSER}, make_account()
    ),
    "the browser after signing out": lambda request: cookie({BROWSER_KEY: BROWSER}),
    "a browser that was given another ticket": lambda request: cookie(
        {BROWSER_KEY: BROWSER, TICKETS_KEY: [str(uuid4())]}
    ),
}


@pytest.mark.parametrize("viewer", VIEWERS)
def test_other_viewers_see_nothing_on_any_surface(stack: Stack, viewer: str) -> None:
    request = registered_in_an_emergency()
    own = VIEWERS[viewer](request)
    page, api = by_page(stack, request, own), by_api(stack, request, own)
    assert "data-state" not in page
    assert '"code":"not_found"' in api.replace(" ", "")
    assert by_socket(stack, request, own, "promo") == ""
    assert by_socket(stack, request, own, "guest-updates") == ""


def test_an_ended_session_sees_nothing_on_any_surface(stack: Stack) -> None:
    request = registered_in_an_emergency()
    own = cookie({}, request.account)
    request.account.sign_out_everywhere()
    page, api = by_page(stack, request, own), by_api(stack, request, own)
    assert token_of(request) not in page + api
    assert by_socket(stack, request, own, "promo") == ""
    assert by_socket(stack, request, own, "guest-updates") == ""


GIVEN = "a browser that was given the ticket"


@pytest.mark.parametrize("browser", ["another", "of an account that has changed hands", "none"])
def test_a_browser_that_was_only_given_the_ticket_never_sees_the_code(
    stack: Stack, browser: str
) -> None:
    """The phone belongs to another account, so the QR code went to the email of that account."""
    request = registered_in_an_emergency()
    ids = {"another": {BROWSER_KEY: "c" * 32}, "none": {}}
    if browser not in ids:
        User.objects.filter(pk=request.account_id).update(browser="d" * 32)
    session: Session = {TICKETS_KEY: [str(request.ticket_id)]}
    own = cookie(session | ids.get(browser, {BROWSER_KEY: BROWSER}))
    page, api = by_page(stack, request, own), by_api(stack, request, own)
    sockets = [by_socket(stack, request, own, kind) for kind in ("promo", "guest-updates")]
    assert 'data-state="by_email' in page
    assert '"state":"by_email"' in api.replace(" ", "")
    assert all(sockets), "a socket was refused or silent"
    assert '"code": "by_email"' in sockets[1]
    assert '"type": "guest_creation_failed"' in sockets[1]
    for seen in (page, api, *sockets):
        assert token_of(request) not in seen
        assert request.name not in seen


@pytest.mark.parametrize(
    ("error", "state", "code"),
    [("LookupError", "failed", "failed"), ("email_taken", "refused", "email_taken")],
)
def test_a_dead_entry_is_the_same_on_every_surface(
    stack: Stack, error: str, state: str, code: str
) -> None:
    request = GuestRequest(event=make_event(), ticket_id=uuid4())
    DeadEntry.objects.create(
        ticket_id=request.ticket_id,
        event_slug=request.event.slug,
        phone="+351961234567",
        error=error,
        attempts=1,
        accepted_at=timezone.now(),
    )
    own = cookie({BROWSER_KEY: BROWSER, TICKETS_KEY: [str(request.ticket_id)]})
    assert f'data-state="{state}' in by_page(stack, request, own)
    assert f'"state":"{state}"' in by_api(stack, request, own).replace(" ", "")
    assert by_socket(stack, request, own, "promo") == "ask"
    received = by_socket(stack, request, own, "guest-updates")
    assert '"type": "guest_creation_failed"' in received
    assert f'"code": "{code}"' in received
    other = cookie({BROWSER_KEY: BROWSER})
    assert by_socket(stack, request, other, "guest-updates") == ""
    assert "data-state" not in by_page(stack, request, other)


def test_the_owner_and_the_browser_that_registered_see_the_code_on_every_surface(
    stack: Stack,
) -> None:
    request = registered_in_an_emergency()
    here = cookie({BROWSER_KEY: BROWSER, TICKETS_KEY: [str(request.ticket_id)]})
    for own in (cookie({}, request.account), here):
        assert token_of(request) in by_page(stack, request, own)
        assert token_of(request) in by_api(stack, request, own)
        assert token_of(request) in by_socket(stack, request, own, "guest-updates")
    assert token_of(request) in by_socket(stack, request, cookie({}, request.account), "promo")
    # The page then polls, and the response signs its browser in.
    assert by_socket(stack, request, here, "promo") == "ask"
