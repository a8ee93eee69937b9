"""A copied session cookie, before and after its owner signs out."""

from pathlib import Path
from uuid import uuid4

import pytest
from django.contrib.auth import SESSION_KEY
from django.test import Client
from pytest_django import Settings

from accounts.models import User
from accounts.sessions import BROWSER_KEY
from guests.emergency.draining import drain
from guests.emergency.journal import get_journal
from guests.emergency.snapshots import save_event
from guests.models import Guest, GuestRequest
from guests.passes.holders import link_for_holder
from guests.requests.creating import create_due_guests
from tests.factories import make_account, make_event, make_guest, make_request, make_staff
from tests.helpers.outages import open_breaker
from tests.helpers.sockets import open_socket, receive, refused_status
from tests.helpers.stack import Stack
from tests.helpers.visitors import PHONE, Visitor, copy_of, html_of

PASSWORD = "a long password"


def register(visitor: Visitor) -> User:
    visitor.give_phone()
    visitor.register()
    return User.objects.get(phone=PHONE)


def signed_in_again(account: User) -> Visitor:
    """Return another visitor who has signed in with a code."""
    visitor = Visitor(make_event())
    visitor.give_phone(account.phone or "")
    visitor.type_code(account)
    return visitor


def is_signed_in(visitor: Visitor) -> bool:
    """Say whether a page has the form for signing out."""
    return 'action="/sign-out/"' in html_of(visitor.get("/promo/"))


def steal_and_sign_out(visitor: Visitor) -> Visitor:
    thief = copy_of(visitor)
    assert is_signed_in(copy_of(visitor))
    visitor.browser.post("/sign-out/")
    assert not is_signed_in(visitor)
    return thief


@pytest.mark.django_db
def test_a_copied_cookie_opens_nothing_after_signing_out() -> None:
    visitor = Visitor(make_event())
    account = register(visitor)
    ticket = GuestRequest.objects.get(account=account).ticket_id
    thief = steal_and_sign_out(visitor)
    phone = {"phone": account.phone}
    checked = thief.browser.post(
        "/api/client-auth-v2/check-phone", phone, content_type="application/json"
    )
    assert checked.json()["userId"] is None
    wanted = {"event_id": make_event().pk}
    for call in ("create", "create-async"):
        path = f"/api/client-auth/guests/{call}"
        response = thief.browser.post(path, wanted, content_type="application/json")
        assert response.status_code == 401
    assert thief.get(f"/api/client-auth/guests/requests/{ticket}").status_code == 404
    assert thief.get(f"/promo/{visitor.event.slug}/ticket/{ticket}/").status_code != 200
    assert thief.send("request").headers["Location"].endswith("/phone/")
    assert not is_signed_in(thief)


@pytest.mark.django_db
def test_requests_do_not_revive_a_copied_cookie() -> None:
    visitor = Visitor(make_event())
    account = register(visitor)
    thief = copy_of(visitor)
    visitor.browser.post("/sign-out/")
    thief.browser.post("/i18n/setlang/", {"language": "en"})
    thief.give_phone("961 000 111")
    thief.get("/challenge/new?for=address")
    assert not is_signed_in(thief)
    assert SESSION_KEY not in thief.browser.session
    again = signed_in_again(account)
    assert is_signed_in(again)
    assert not is_signed_in(thief)


@pytest.mark.django_db
def test_signing_out_ends_only_its_own_session() -> None:
    account = make_account()
    telephone, laptop = signed_in_again(account), signed_in_again(account)
    steal_and_sign_out(telephone)
    assert is_signed_in(laptop)


@pytest.mark.django_db
def test_signing_in_again_does_not_revive_a_copied_cookie() -> None:
    account = make_account()
    visitor = signed_in_again(account)
    thief = copy_of(visitor)
    visitor.give_phone(account.phone or "")
    visitor.send("prove")
    visitor.browser.post("/sign-out/")
    visitor.give_phone(account.phone or "")
    visitor.type_code(account)
    assert is_signed_in(visitor)
    assert not is_signed_in(thief)


@pytest.mark.django_db
def test_a_session_without_an_id_ends_too() -> None:
    account = make_account()
    visitor = Visitor(make_event()).signed_in(account)  # A session without an id.
    thief = steal_and_sign_out(visitor)
    assert not is_signed_in(thief)


@pytest.mark.django_db
def test_many_sign_outs_revive_no_old_copy() -> None:
    account = make_account()
    thieves = []
    for _ in range(33):
        account.refresh_from_db()
        visitor = Visitor(make_event()).signed_in(account)
        session = visitor.browser.session
        session["sid"] = uuid4().hex[:16]
        session.save()
        visitor.browser.cookies["session"] = session.session_key or ""
        thieves.append(steal_and_sign_out(visitor))
    assert not any(is_signed_in(thief) for thief in thieves)
    account.refresh_from_db()
    assert len(account.ended_sessions) <= 30


@pytest.mark.django_db
def test_a_browser_keeps_its_id_after_signing_out() -> None:
    visitor = Visitor(make_event())
    account = register(visitor)
    browser = visitor.browser.session[BROWSER_KEY]
    visitor.browser.post("/sign-out/")
    assert visitor.browser.session[BROWSER_KEY] == browser
    visitor.give_phone(account.phone or "")
    visitor.type_code(account)
    assert visitor.browser.session[BROWSER_KEY] == browser
    account.sign_out_everywhere()
    visitor.get("/promo/")
    assert visitor.browser.session[BROWSER_KEY] == browser


@pytest.mark.django_db
@pytest.mark.parametrize("everywhere", [False, True])
def test_a_ticket_of_an_outage_does_not_sign_in_after_a_sign_out(*, everywhere: bool) -> None:
    """A browser that registered in an outage is signed in by its id, but only once."""
    account = make_account()
    visitor = signed_in_again(account)
    browser = visitor.browser.session[BROWSER_KEY]
    User.objects.filter(pk=account.pk).update(browser=browser)
    request = make_request(visitor.event, account)
    GuestRequest.objects.update(browser=browser)
    ticket = f"/promo/{visitor.event.slug}/ticket/{request.ticket_id}/"
    assert copy_of(visitor).get(ticket).status_code == 200
    thief = copy_of(visitor)
    if everywhere:
        User.objects.get(pk=account.pk).sign_out_everywhere()
    else:
        visitor.browser.post("/sign-out/")
    assert thief.get(ticket).status_code != 200
    assert thief.get(f"/api/client-auth/guests/requests/{request.ticket_id}").status_code == 404
    assert not is_signed_in(thief)


@pytest.mark.django_db
def test_staff_end_all_their_sessions() -> None:
    account = make_staff(phone="+351912000999")
    first, second = Client(), Client()
    for client in (first, second):
        client.post("/admin/login/", {"username": account.phone, "password": PASSWORD})
        assert client.get("/admin/guests/guest/").status_code == 200
    first.post("/admin/logout/")
    for client in (first, second):
        assert client.get("/admin/guests/guest/").status_code == 302


@pytest.mark.django_db
def test_a_copy_of_an_ended_staff_session_opens_no_admin() -> None:
    account = make_staff(phone="+351912000999")
    client, thief = Client(), Client()
    client.post("/admin/login/", {"username": account.phone, "password": PASSWORD})
    thief.cookies["session"] = client.cookies["session"].value
    client.post("/sign-out/")
    for path in ("/admin/", "/admin/guests/guest/", "/admin/password_change/"):
        assert thief.get(path).status_code == 302


def opens_pass(visitor: Visitor, guest: Guest) -> bool:
    return guest.name in html_of(visitor.get(f"/guest/{guest.qr_token}"))


@pytest.mark.django_db
@pytest.mark.parametrize("order", ["link first", "session first"])
@pytest.mark.parametrize("is_own", [True, False])
def test_a_pass_kept_by_its_link_ends_with_the_session(order: str, *, is_own: bool) -> None:
    guest = make_guest(make_event())
    visitor = Visitor(guest.event)
    account = guest.account if is_own else make_account()
    if order == "link first":
        visitor.get(link_for_holder(guest))
    visitor.give_phone(account.phone or "")
    visitor.type_code(account)
    visitor.get(link_for_holder(guest))
    thief = copy_of(visitor)
    assert opens_pass(copy_of(visitor), guest)
    visitor.browser.post("/sign-out/")
    assert not opens_pass(visitor, guest)
    assert not opens_pass(thief, guest)
    thief.get("/promo/")
    assert not opens_pass(thief, guest)
    again = Visitor(guest.event)
    again.get(link_for_holder(guest))
    assert opens_pass(again, guest), "the link still counts in a new browser"


@pytest.mark.django_db
def test_a_copy_from_before_signing_in_ends_too() -> None:
    guest = make_guest(make_event())
    visitor = Visitor(guest.event)
    visitor.get(link_for_holder(guest))
    thief = copy_of(visitor)
    visitor.give_phone(guest.account.phone or "")
    visitor.type_code(guest.account)
    assert opens_pass(thief, guest)
    visitor.browser.post("/sign-out/")
    assert not opens_pass(thief, guest)


# Without the database -----------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_without_database_and_disk_only_this_browser_is_signed_out(
    settings: Settings, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    settings.JOURNAL_PATH = tmp_path / "file" / "journal.sqlite3"
    account = make_account()
    visitor = signed_in_again(account)
    with open_breaker():
        page = visitor.browser.post("/sign-out/")
    assert page.status_code == 200
    assert "a copy of this session elsewhere is not ended" in html_of(page)
    assert SESSION_KEY not in visitor.browser.session


@pytest.mark.django_db(transaction=True)
def test_a_journal_entry_of_an_ended_session_belongs_to_no_browser() -> None:
    """An entry of an ended session is drained without the id of its browser."""
    account = make_account()
    visitor = signed_in_again(account)
    save_event(visitor.event)
    thief = copy_of(visitor)
    visitor.browser.post("/sign-out/")
    event = make_event()
    save_event(event)
    with open_breaker():
        wanted = {"event_id": event.pk}
        response = thief.browser.post(
            "/api/client-auth/guests/create", wanted, content_type="application/json"
        )
    assert response.status_code == 202
    drain(get_journal())
    ticket = response.json()["ticketId"]
    assert GuestRequest.objects.get(ticket_id=ticket).browser == ""
    create_due_guests()
    body = thief.get(f"/api/client-auth/guests/requests/{ticket}").json()
    assert not body.get("data")


# Sockets ------------------------------------------------------------------------------------------


@pytest.mark.processes
def test_an_ended_session_opens_no_socket_and_receives_nothing(stack: Stack) -> None:
    with stack.frozen("worker"), stack.frozen("sweeper"):
        account = make_account()
        visitor = signed_in_again(account)
        other = signed_in_again(account)
        request = make_request(make_event(), account)
        cookie = f"session={visitor.browser.cookies['session'].value}"
        others = f"session={other.browser.cookies['session'].value}"
        with (
            open_socket(stack, request.ticket_id, cookie=cookie) as thief,
            open_socket(stack, request.ticket_id, cookie=others) as elsewhere,
        ):
            assert receive(thief)["type"] == receive(elsewhere)["type"] == "guest_processing"
            visitor.browser.post("/sign-out/")
            create_due_guests()
            assert list(thief) == []
            assert receive(elsewhere)["type"] == "guest_created"
        assert refused_status(stack, request.ticket_id, cookie=cookie) == 403


@pytest.mark.processes
def test_signing_out_everywhere_closes_all_sockets(stack: Stack) -> None:
    with stack.frozen("worker"), stack.frozen("sweeper"):
        account = make_account()
        visitor = signed_in_again(account)
        request = make_request(make_event(), account)
        cookie = f"session={visitor.browser.cookies['session'].value}"
        with open_socket(stack, request.ticket_id, cookie=cookie) as opened:
            receive(opened)
            User.objects.get(pk=account.pk).sign_out_everywhere()
            assert list(opened) == []
