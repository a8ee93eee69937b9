"""Concurrent requests over HTTP to the real processes."""

import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import TypeVar

import httpx
import pytest

from accounts.models import User
from guests.models import Guest, GuestRequest
from notifications.models import Email
from tests.factories import make_account, make_event
from tests.helpers.invariants import broken_invariants
from tests.helpers.sessions import session_of
from tests.helpers.stack import Stack, wait_for

pytestmark = pytest.mark.processes

T = TypeVar("T")
# With HTMX a worker creates the guest. Without it a web process may do so.
HTMX = {"HX-Request": "true"}
PERSON = {"first_name": "Rui", "last_name": "Exemplo", "email": "rui@example.com"}


def at_once(number: int, act: Callable[[int], T]) -> list[T]:
    """Call a function concurrently in so many threads, and return all results."""
    barrier = Barrier(number)

    def begin(which: int) -> T:
        barrier.wait(timeout=30)
        return act(which)

    with ThreadPoolExecutor(number) as threads:
        return list(threads.map(begin, range(number)))


def token_of(client: httpx.Client, path: str) -> str:
    """Open the page of a form and return its CSRF token. The client keeps its cookie."""
    return hidden_fields(client, path)["csrfmiddlewaretoken"]


def hidden_fields(client: httpx.Client, path: str) -> dict[str, str]:
    html = client.get(path).text
    return dict(re.findall(r'name="(csrfmiddlewaretoken|step)" value="([^"]*)"', html))


def all_have_ended() -> bool:
    return not GuestRequest.objects.pending().exists()


@pytest.mark.parametrize("htmx", [True, False])
def test_twenty_requests_of_one_person_are_one_guest_with_one_qr(
    stack: Stack, *, htmx: bool
) -> None:
    event, account = make_event(), make_account()
    path = f"/promo/{event.slug}/-/request/"
    with httpx.Client(base_url=stack.url, timeout=20, verify=False) as client:
        client.cookies.set("session", session_of(account))
        token = token_of(client, f"/promo/{event.slug}/")
        cookies = dict(client.cookies)

    def ask(_: int) -> str:
        response = httpx.post(
            stack.url + path,
            data={"csrfmiddlewaretoken": token},
            headers=HTMX if htmx else {},
            cookies=cookies,
            timeout=20,
            verify=False,
        )
        assert response.status_code == (200 if htmx else 303)
        return str(response.headers["hx-push-url" if htmx else "location"])

    tickets = at_once(20, ask)
    wait_for(all_have_ended)
    assert len(set(tickets)) == 1
    guest = Guest.objects.get()
    assert GuestRequest.objects.count() == 1
    assert guest.qr_token
    assert Email.objects.filter(kind="qr_code").count() == 1
    assert broken_invariants() == []


def test_twenty_registrations_of_one_phone_are_one_account(stack: Stack) -> None:
    event = make_event()
    step = f"/promo/{event.slug}/-"
    clients = []
    for _ in range(20):
        client = httpx.Client(base_url=stack.url, timeout=20, verify=False)
        token = token_of(client, f"{step}/phone/")
        data = {"csrfmiddlewaretoken": token, "country": "PT", "phone": "961 234 567"}
        location = client.post(f"{step}/phone/", data=data).headers["location"]
        assert location.startswith(f"{step}/register/")
        clients.append((client, hidden_fields(client, location)))

    def register(which: int) -> str:
        client, hidden = clients[which]
        response = client.post(f"{step}/register/", data=PERSON | hidden)
        assert response.status_code in {303, 429}, response.text[:300]
        return str(response.headers.get("location", ""))

    responses = at_once(20, register)
    wait_for(all_have_ended)
    assert sum("/ticket/" in response for response in responses) == 1
    assert User.objects.filter(phone="+351961234567").count() == 1
    assert Guest.objects.count() == 1
    assert Email.objects.filter(kind="welcome").count() == 1
    assert broken_invariants() == []
    for client, _ in clients:
        client.close()


@pytest.mark.slow
@pytest.mark.parametrize("htmx", [True, False])
def test_sixty_requests_for_fifty_places_fill_the_list(stack: Stack, *, htmx: bool) -> None:
    event = make_event(capacity=50)
    sessions = [session_of(make_account()) for _ in range(60)]
    path = f"/promo/{event.slug}/"
    with httpx.Client(base_url=stack.url, timeout=20, verify=False) as client:
        token = token_of(client, f"{path}-/phone/")
        csrf = client.cookies["csrf"]

    def ask(which: int) -> int:
        response = httpx.post(
            f"{stack.url}{path}-/request/",
            data={"csrfmiddlewaretoken": token},
            headers=HTMX if htmx else {},
            cookies={"session": sessions[which], "csrf": csrf},
            timeout=30,
        )
        return response.status_code

    assert set(at_once(60, ask)) == {200 if htmx else 303}
    wait_for(all_have_ended)
    event.refresh_from_db()
    assert event.places_taken == 50
    requests = GuestRequest.objects.order_by("pk").values_list("state", flat=True)
    assert list(requests) == ["created"] * 50 + ["waitlisted"] * 10
    assert broken_invariants() == []
