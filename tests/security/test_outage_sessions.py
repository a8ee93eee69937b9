"""Sessions while the database is away: signing out, and two people who share a phone."""

from datetime import timedelta

import pytest
from django.contrib.auth import SESSION_KEY
from django.utils import timezone

from accounts.models import User
from guests.claims.proof import prove_by_link
from guests.emergency.journal import get_journal
from guests.models import Event, Guest
from guests.passes.holders import link_for_holder
from guests.requests.creating import create_due_guests
from tests.helpers.api import CREATE
from tests.helpers.outages import (
    make_seen_event,
    start_database_and_drain,
    stop_database_after_a_sweep,
)
from tests.helpers.places import pages_of
from tests.helpers.visitors import PERSON, Visitor, copy_of, html_of, location_of, state_in

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("stoppable_database")]


@pytest.fixture
def event() -> Event:
    return make_seen_event(slug="festa")


# Signing out --------------------------------------------------------------------------------------


def registered(event: Event) -> Visitor:
    browser = Visitor(event)
    browser.give_phone()
    browser.register()
    create_due_guests()
    return browser


@pytest.mark.parametrize("has_place", [True, False])
def test_signing_out_in_an_outage_ends_the_copies(event: Event, *, has_place: bool) -> None:
    browser = registered(event)
    account = User.objects.get(email=PERSON["email"])
    guest = Guest.objects.get()
    if has_place:
        browser.get(link_for_holder(guest))
        pages = pages_of(guest)
    else:
        pages = []
        # The mirror has no places of past events.
        over = timezone.now() - timedelta(days=1)
        Event.objects.update(starts_at=over, ends_at=over + timedelta(hours=1))
        event = make_seen_event(slug="outra")
    thief = copy_of(browser)
    stop_database_after_a_sweep()
    page = html_of(browser.browser.post("/sign-out/"))
    assert "ends when it answers again" in page
    for path in pages:
        assert guest.name not in html_of(thief.get(path))
    assert 'action="/sign-out/"' not in html_of(thief.get(f"/promo/{event.slug}/"))
    body = {"event_id": event.pk}
    response = thief.browser.post(CREATE, body, content_type="application/json")
    assert response.status_code == 401
    start_database_and_drain()
    assert get_journal().ended_sessions() == []
    assert 'action="/sign-out/"' not in html_of(thief.get("/promo/"))
    for path in pages:
        assert guest.name not in html_of(thief.get(path))
    account.refresh_from_db()
    assert len(account.ended_sessions) == 2, "the session and the browser's id have ended"


def test_signing_out_of_an_ended_session_ends_no_other(event: Event) -> None:
    browser = registered(event)
    account = User.objects.get(email=PERSON["email"])
    dead = copy_of(browser)
    account.sign_out_everywhere()
    owner = Visitor(event).signed_in(account)
    stop_database_after_a_sweep()
    dead.browser.post("/sign-out/")
    start_database_and_drain()
    assert 'action="/sign-out/"' in html_of(owner.get("/promo/"))
    account.refresh_from_db()
    assert len(account.ended_sessions) == 1, "only the browser's id, by signing out everywhere"


# Two people with one browser ----------------------------------------------------------------------


def friend_and_owner(event: Event) -> tuple[Visitor, User, User]:
    """Register a friend and then the owner in one browser; return it and both accounts."""
    browser = Visitor(event)
    browser.give_phone("961 000 001")
    browser.register(first_name="Alda", last_name="Amiga", email="alda@example.com")
    friend = User.objects.get(phone="+351961000001")
    browser.give_phone("961 000 002")
    browser.register(first_name="Fred", last_name="Dono", email="fred@example.com")
    return browser, friend, User.objects.get(phone="+351961000002")


@pytest.mark.parametrize(
    ("is_proven", "has_replaced"), [(True, True), (False, True), (True, False)]
)
def test_an_outage_does_not_sign_a_browser_in_as_its_previous_user(
    event: Event, *, is_proven: bool, has_replaced: bool
) -> None:
    browser, friend, owner = friend_and_owner(event)
    if is_proven:
        prove_by_link(friend)
    if not has_replaced:
        # Before this release, replacing an account did not end its session.
        User.objects.update(ended_sessions=[])
    create_due_guests()
    stop_database_after_a_sweep()
    browser.give_phone("961 000 001")
    page = location_of(browser.register(first_name="X", last_name="Y", email="x@example.com"))
    start_database_and_drain()
    response = browser.get(page)
    assert state_in(response) == "registered_elsewhere"
    assert "Alda" not in html_of(response)
    phone = {"phone": friend.phone}
    checked = browser.browser.post(
        "/api/client-auth-v2/check-phone", phone, content_type="application/json"
    )
    assert checked.json()["userId"] is None
    assert browser.browser.session[SESSION_KEY] == str(owner.pk)


def test_signing_in_as_another_account_ends_the_session_before_it(event: Event) -> None:
    browser, copy = Visitor(event), Visitor(event)
    browser.give_phone("961 000 001")
    browser.register(first_name="Alda", last_name="Amiga", email="alda@example.com")
    copy.browser.cookies["session"] = browser.browser.cookies["session"].value
    browser.give_phone("961 000 002")
    browser.register(first_name="Fred", last_name="Dono", email="fred@example.com")
    assert 'action="/sign-out/"' in html_of(browser.get("/promo/"))
    assert 'action="/sign-out/"' not in html_of(copy.get("/promo/"))


def test_the_browser_that_registered_in_an_outage_is_signed_in_after_the_link_was_opened(
    event: Event,
) -> None:
    stop_database_after_a_sweep()
    browser = Visitor(event)
    browser.give_phone()
    page = location_of(browser.register())
    start_database_and_drain()
    prove_by_link(User.objects.get(email=PERSON["email"]))
    assert state_in(browser.get(page)) == "created"
    assert 'action="/sign-out/"' in html_of(browser.get("/promo/"))
