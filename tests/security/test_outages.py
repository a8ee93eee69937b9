"""What others can take, lose or learn while the database is away: seen from their browsers."""

import re
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest
from django.contrib.auth import SESSION_KEY
from django.core.management import call_command
from django.db import close_old_connections
from django.test import Client
from django.utils import timezone
from pytest_django import Settings

from accounts.models import Claim, User
from accounts.sessions import ACCOUNT_PHONE_KEY, BACKEND
from guests.claims.proof import prove_by_link
from guests.emergency.draining import drain
from guests.emergency.journal import get_journal
from guests.models import Event, Guest
from guests.passes.holders import link_for_holder
from guests.requests.creating import create_due_guests
from guests.requests.places import cancel_guest
from notifications.models import Email
from snap.local_cache import clear_local_caches
from snap.resilience.database import breaker
from tests.factories import make_account, make_event, make_guest, make_staff
from tests.helpers import servers
from tests.helpers.stack import wait_for
from tests.helpers.visitors import PHONE, Answer, Visitor, html_of, location_of, state_in

pytestmark = pytest.mark.skipif(
    "servers.postgresql is None", reason="only a server that the tests started may be stopped"
)

CREATE = "/api/client-auth/guests/create"
TICKETS = "/api/client-auth/guests/requests"
RITA = {"first_name": "Rita", "last_name": "Primeira", "email": "rita@example.com"}
OUTRA = {"first_name": "Ana", "last_name": "Segunda", "email": "ana@example.com"}


@pytest.fixture(autouse=True)
def all_well(transactional_db: None, tmp_path: Path, settings: Settings) -> Iterator[None]:
    settings.JOURNAL_PATH = tmp_path / "journal.sqlite3"
    clear_local_caches()
    breaker.succeeded()
    yield
    breaker.succeeded()
    servers.freshen()
    close_old_connections()


@pytest.fixture
def event() -> Event:
    """An open event whose page was seen while all was well."""
    event = make_event(slug="festa")
    assert Client().get("/promo/festa/").status_code == 200
    return event


def take_database_away() -> None:
    """After the sweeper has gone round once more."""
    assert servers.postgresql is not None
    call_command("sweeper", once=True)
    servers.postgresql.stop("immediate")


def bring_database_back() -> None:
    """And have all that was accepted carried over and ended."""
    start_database()
    carry_all_over()


def start_database() -> None:
    assert servers.postgresql is not None
    servers.postgresql.start()
    close_old_connections()
    breaker.succeeded()


def carry_all_over() -> None:
    def all_is_carried() -> bool:
        drain(get_journal())
        create_due_guests()
        return get_journal().count()["waiting"] == 0

    wait_for(all_is_carried)


def sign_in(client: Client, account: User) -> None:
    client.force_login(account, backend=BACKEND)
    session = client.session
    session[ACCOUNT_PHONE_KEY] = account.phone
    session.save()
    client.cookies["session"] = session.session_key or ""  # Signed cookies are their own key.


def signed_in(event: Event, account: User) -> Visitor:
    visitor = Visitor(event)
    sign_in(visitor.browser, account)
    return visitor


def ticket_id_in(url: str) -> str:
    found = re.search(r"/ticket/([0-9a-f-]{36})/", url)
    assert found, url
    return found[1]


# One phone, two browsers -------------------------------------------------------------------------


def two_registrations(event: Event, second: dict[str, str]) -> tuple[Visitor, str, Visitor, str]:
    """Have two browsers register one phone in an outage; return each with its ticket's page."""
    take_database_away()
    browsers = []
    for person in (RITA, second):
        visitor = Visitor(event)
        visitor.give_phone()
        page = location_of(visitor.register(**person))
        assert state_in(visitor.get(page)) == "queued"
        browsers += [visitor, page]
    first, first_page, other, other_page = browsers
    return first, first_page, other, other_page  # type: ignore[return-value]


def test_the_second_registration_of_a_phone_is_kept_and_both_hear_the_truth(event: Event) -> None:
    first, first_page, second, second_page = two_registrations(event, OUTRA)
    assert first_page != second_page
    for visitor, page in ((first, second_page), (second, first_page)):
        assert visitor.get(page).status_code == 404
    bring_database_back()

    assert state_in(first.get(first_page)) == "created"
    assert RITA["last_name"] in html_of(first.get(first_page))
    response = second.get(second_page)
    assert state_in(response) == "registered_elsewhere"
    text = html_of(response)
    assert "registered in another browser at" in text
    assert "This is not my email" in text
    assert_nothing_of(response, Guest.objects.get())
    assert set(Email.objects.values_list("to", flat=True)) == {RITA["email"]}
    state = second.get(f"{TICKETS}/{ticket_id_in(second_page)}")
    assert state.json() == {"success": True, "state": "registered_elsewhere", "data": None}


def test_staff_see_the_second_registration_beside_the_first(event: Event) -> None:
    two_registrations(event, OUTRA)
    bring_database_back()
    staff = Client(headers={"accept-language": "en"})
    staff.force_login(make_staff())
    listed = html_of(staff.get("/admin/guests/guestrequest/?is_second_registration__exact=1"))
    assert RITA["last_name"] in listed
    assert "1 guest request" in listed
    assert User.objects.get(last_name=RITA["last_name"]).claims.get().email == OUTRA["email"]


def test_the_same_person_in_a_second_browser_is_sent_to_their_email(event: Event) -> None:
    """Instagram's browser, then Safari. Their names and email are no proof that it is them."""
    _, _, second, second_page = two_registrations(event, RITA)
    bring_database_back()
    response = second.get(second_page)
    assert state_in(response) == "by_email"
    assert "another browser" not in html_of(response)
    assert_nothing_of(response, Guest.objects.get())
    assert Email.objects.filter(kind="qr_code", to=RITA["email"]).count() == 1


def test_the_owner_who_types_the_name_otherwise_claims_nothing_from_themselves(
    event: Event,
) -> None:
    written = {"first_name": "rita", "last_name": "PRIMEIRA", "email": "rita+snap@example.com"}
    _, _, second, second_page = two_registrations(event, written)
    bring_database_back()
    assert state_in(second.get(second_page)) == "by_email"
    assert not Claim.objects.exists()


def test_an_email_with_too_many_accounts_is_refused_and_the_phone_stays_free(
    event: Event, settings: Settings
) -> None:
    settings.ACCOUNTS_PER_EMAIL = 1
    make_account(email=RITA["email"])
    take_database_away()
    visitor = Visitor(event)
    visitor.give_phone()
    page = location_of(visitor.register(**RITA))
    bring_database_back()
    assert not User.objects.filter(phone=PHONE).exists()
    response = visitor.get(page)
    assert state_in(response) == "refused"
    assert "as many accounts as one may have" in html_of(response)
    state = visitor.get(f"{TICKETS}/{ticket_id_in(page)}").json()
    assert (state["state"], state["data"]["code"]) == ("refused", "email_taken")
    assert Visitor(event).get(page).status_code == 302
    staff = Client(headers={"accept-language": "en"})
    staff.force_login(make_staff())
    assert "email_taken" in html_of(staff.get("/admin/guests/deadentry/"))
    take_database_away()
    response = visitor.get(page)
    assert state_in(response) == "refused"
    assert "as many accounts as one may have" in html_of(response)
    state = visitor.get(f"{TICKETS}/{ticket_id_in(page)}").json()
    assert (state["state"], state["data"]["code"]) == ("refused", "email_taken")
    # Another email gets the phone in.
    visitor.give_phone()
    location_of(visitor.register(**RITA | {"email": "outra@example.com"}))
    bring_database_back()
    assert User.objects.get(phone=PHONE).email == "outra@example.com"


def test_a_refusal_is_told_to_the_browser_that_was_given_the_ticket(event: Event) -> None:
    """No email goes out for it, so "look in your email" would be untrue."""
    make_account(phone=PHONE)
    take_database_away()
    pages = {}
    for person in (RITA, OUTRA):
        visitor = Visitor(event)
        visitor.give_phone()
        pages[visitor] = location_of(visitor.register(**person))
    start_database()
    Event.objects.update(cancelled_at=timezone.now())
    carry_all_over()
    for visitor, page in pages.items():
        response = visitor.get(page)
        assert state_in(response) == "refused"
        assert "was cancelled" in html_of(response)
        state = visitor.get(f"{TICKETS}/{ticket_id_in(page)}").json()
        assert (state["state"], state["data"]["code"]) == ("refused", "cancelled")


def test_nothing_is_called_sent_before_it_has_ended(event: Event) -> None:
    make_account(phone=PHONE)
    take_database_away()
    visitor = Visitor(event)
    visitor.give_phone()
    page = location_of(visitor.register(**OUTRA))
    start_database()
    wait_for(lambda: drain(get_journal()) == 1)
    assert state_in(visitor.get(page)) == "queued"
    create_due_guests()
    assert state_in(visitor.get(page)) == "registered_elsewhere"


def test_one_browser_keeps_the_tickets_of_several_phones(event: Event) -> None:
    take_database_away()
    visitor = Visitor(event)
    pages = []
    for number, person in enumerate((RITA, OUTRA)):
        visitor.give_phone(f"961 234 56{number}")
        pages.append(location_of(visitor.register(**person)))
    bring_database_back()
    first = User.objects.get(last_name=RITA["last_name"])
    for _ in range(2):
        for page, person in zip(pages, (RITA, OUTRA), strict=True):
            response = visitor.get(page)
            assert state_in(response) == "created"
            assert person["last_name"] in html_of(response)
            assert response.wsgi_request.user == first


def test_signing_in_keeps_what_the_browser_was_given(event: Event) -> None:
    account = make_account(phone=PHONE)
    take_database_away()
    visitor = Visitor(event)
    visitor.give_phone("961 234 560")
    page = location_of(visitor.register(**RITA))
    bring_database_back()
    assert state_in(visitor.get(page)) == "created"
    visitor.give_phone()
    visitor.type_code(account)
    # The other account's session has ended, so its ticket shows no more than where the QR code is.
    response = visitor.get(page)
    assert state_in(response) == "by_email"
    assert response.wsgi_request.user == account


def test_the_api_calls_a_dead_entry_failed(event: Event, settings: Settings) -> None:
    settings.JOURNAL_ATTEMPTS = 1
    account = make_account(phone=PHONE)
    visitor = Visitor(event)
    visitor.give_phone()
    take_database_away()
    page = location_of(visitor.send("code", code="123456"))
    start_database()
    User.objects.filter(pk=account.pk).update(phone="+351961234561")
    carry_all_over()  # Nobody has the phone, so there is no account for the request.
    assert state_in(visitor.get(page)) == "failed"
    assert visitor.get(f"{TICKETS}/{ticket_id_in(page)}").json()["state"] == "failed"


def test_a_stranger_with_the_phone_in_the_code_step_has_a_ticket_of_their_own(
    event: Event,
) -> None:
    account = make_account(phone="+351961234567")
    owner, stranger = Visitor(event), Visitor(event)
    for visitor in (stranger, owner):
        assert location_of(visitor.give_phone()).startswith("/promo/festa/-/code/")
    take_database_away()
    pages = [location_of(v.send("code", code="123456")) for v in (stranger, owner)]
    assert len(set(pages)) == 2
    bring_database_back()
    for visitor, page in zip((stranger, owner), pages, strict=True):
        response = visitor.get(page)
        assert state_in(response) == "by_email"
        assert_nothing_of(response, Guest.objects.get(account=account))


def test_only_the_tickets_own_browser_hears_that_it_is_queued(event: Event) -> None:
    first, first_page, *_ = two_registrations(event, OUTRA)
    make_id = ticket_id_in(first_page)
    servers.freshen()
    close_old_connections()
    stranger = signed_in(event, make_account())
    assert servers.postgresql is not None
    servers.postgresql.stop("immediate")
    for path in (first_page, f"{TICKETS}/{make_id}"):
        assert stranger.get(path).status_code == 404
        assert Visitor(event).get(path).status_code == 404
    assert state_in(first.get(first_page)) == "queued"
    # One that this host knows nothing of may be theirs, from another host.
    unknown = "00000000-0000-4000-8000-000000000000"
    for path in (f"/promo/festa/ticket/{unknown}/", f"{TICKETS}/{unknown}"):
        assert stranger.get(path).status_code == 503
        assert Visitor(event).get(path).status_code == 404


# What a create call says -------------------------------------------------------------------------


def test_a_creates_name_and_key_count_in_an_outage_too(event: Event) -> None:
    other = make_event()
    Client().get(f"/promo/{other.slug}/")
    visitor = signed_in(event, make_account())
    take_database_away()

    def create(event: Event, key: str, **fields: str) -> Answer:
        return visitor.browser.post(
            CREATE,
            {"event_id": event.pk, **fields},
            content_type="application/json",
            headers={"Idempotency-Key": key},
        )

    ticket = create(event, "key", name="Rita da Festa").json()["ticketId"]
    assert create(event, "key", name="Rita da Festa").json()["ticketId"] == ticket
    reused = create(other, "key")
    assert (reused.status_code, reused.json()["code"]) == (409, "key_reused")
    assert create(event, "k" * 65).status_code == 400
    assert create(event, "key", name="x" * 122).status_code == 400
    bring_database_back()
    assert Guest.objects.get().name == "Rita da Festa"
    again = create(event, "key")
    assert again.json()["data"]["id"] == Guest.objects.get().pk
    assert create(other, "key").status_code == 409


# Places and who sees them ------------------------------------------------------------------------


def pages_of(guest: Guest) -> list[str]:
    """Return every address that may show a place, all that is to be known of it being loaded."""
    assert guest.account.email
    ticket = guest.guestrequest_set.get().ticket_id
    return [
        f"/promo/{guest.event.slug}/",
        f"/promo/{guest.event.slug}/ticket/{ticket}/",
        f"/guest/{guest.qr_token}",
        f"{TICKETS}/{ticket}",
        "/promo/",
    ]


def assert_nothing_of(response: Answer, guest: Guest) -> None:
    """Nothing by which one could get in, or learn who the guest is."""
    text = html_of(response)
    for secret in (guest.name, guest.account.email, guest.phone, f"/media/qr/{guest.qr_token}"):
        assert secret not in text


def test_holders_keep_their_qr_code(event: Event) -> None:
    guest = make_guest(event)
    holder, pages = signed_in(event, guest.account), pages_of(guest)
    take_database_away()
    page, ticket, own_pass, state, events = (holder.get(path) for path in pages)
    for response in (page, ticket, own_pass):
        assert response.status_code == 200
        assert f"/media/qr/{guest.qr_token}.png" in html_of(response)
        assert guest.name in html_of(response)
        assert "This is how it was at" in html_of(response)
        assert "no-store" in response["Cache-Control"]
    assert "I want to be on the list" not in html_of(page)
    assert "Sign out" in html_of(page)
    assert state.json()["data"]["id"] == guest.pk
    assert "You are on the list" in html_of(events)
    with closing(holder.get(f"/media/qr/{guest.qr_token}.png")) as image:
        assert image.status_code == 200


def test_nobody_else_sees_them(event: Event) -> None:
    guest = make_guest(event)
    other = signed_in(event, make_guest(event).account)
    without_place, pages = signed_in(event, make_account()), pages_of(guest)
    take_database_away()
    for visitor in (other, without_place, Visitor(event)):
        for path in pages:
            response = visitor.get(path)
            assert response.status_code in {200, 404}
            if not path.startswith("/guest/"):
                assert_nothing_of(response, guest)
            else:
                assert guest.name not in html_of(response)
                assert "This is a valid pass" in html_of(response)


def test_a_session_that_was_ended_opens_nothing(event: Event) -> None:
    guest = make_guest(event)
    copied, pages = signed_in(event, guest.account), pages_of(guest)
    guest.account.sign_out_everywhere()
    take_database_away()
    for path in pages:
        assert guest.name not in html_of(copied.get(path))
    assert "Sign out" not in html_of(copied.look())
    assert location_of(copied.send("request")) == "/promo/festa/-/phone/"
    body = {"event_id": event.pk}
    response = copied.browser.post(CREATE, body, content_type="application/json")
    assert response.status_code == 401


def test_an_account_that_was_switched_off_opens_nothing(event: Event) -> None:
    guest = make_guest(event)
    visitor, pages = signed_in(event, guest.account), pages_of(guest)
    User.objects.filter(pk=guest.account_id).update(is_active=False)
    take_database_away()
    for path in pages:
        assert guest.name not in html_of(visitor.get(path))


def test_what_waits_for_a_proof_waits_in_an_outage_too() -> None:
    event = make_event(slug="festa", requires_proof=True)
    Client().get("/promo/festa/")
    guest = make_guest(event)
    visitor, pages = signed_in(event, guest.account), pages_of(guest)
    take_database_away()
    page, ticket, own_pass, _, _ = (visitor.get(path) for path in pages)
    assert state_in(page) == state_in(ticket) == "unproven"
    assert own_pass.status_code == 404
    for response in (page, ticket, own_pass):
        assert f"/media/qr/{guest.qr_token}" not in html_of(response)


def test_a_place_that_was_cancelled_is_gone(event: Event) -> None:
    guest = make_guest(event)
    visitor, pages = signed_in(event, guest.account), pages_of(guest)
    call_command("sweeper", once=True)
    cancel_guest(guest, acting_user=make_staff())
    take_database_away()
    answers = [visitor.get(path) for path in pages]
    assert [state_in(response) for response in answers[:2]] == ["cancelled", "cancelled"]
    assert answers[2].status_code == 503
    for response in answers:
        assert f"/media/qr/{guest.qr_token}" not in html_of(response)


def test_a_place_in_the_waiting_line_keeps_its_number(event: Event) -> None:
    full = make_event(slug="cheia", capacity=1, has_waiting_list=True)
    make_guest(full)
    visitor = signed_in(full, make_account())
    Client().get("/promo/cheia/")
    page = location_of(visitor.send("request"))
    assert state_in(visitor.get(page)) == "waitlisted-1"
    take_database_away()
    assert state_in(visitor.get(page)) == "waitlisted-1"
    assert state_in(visitor.look()) == "waitlisted-1"


def test_an_event_whose_list_has_closed_is_still_listed(event: Event) -> None:
    now = timezone.now()
    make_event(
        slug="fechada",
        title="Lista Fechada",
        list_opens_at=now - timedelta(hours=2),
        list_closes_at=now - timedelta(hours=1),
    )
    Client().get("/promo/fechada/")
    before = [each["slug"] for each in Client().get("/api/events").json()["events"]]
    take_database_away()
    assert "Lista Fechada" in html_of(Client().get("/promo/"))
    after = [each["slug"] for each in Client().get("/api/events").json()["events"]]
    assert after == before == ["festa", "fechada"]


# Signing out -------------------------------------------------------------------------------------


def copy_of(visitor: Visitor) -> Visitor:
    copy = Visitor(visitor.event)
    copy.browser.cookies["session"] = visitor.browser.cookies["session"].value
    return copy


def registered(event: Event) -> Visitor:
    browser = Visitor(event)
    browser.give_phone()
    browser.register(**RITA)
    create_due_guests()
    return browser


@pytest.mark.parametrize("has_place", [True, False])
def test_signing_out_in_an_outage_ends_the_copies(event: Event, *, has_place: bool) -> None:
    browser = registered(event)
    account = User.objects.get(email=RITA["email"])
    guest = Guest.objects.get()
    if has_place:
        browser.get(link_for_holder(guest))
        pages = pages_of(guest)
    else:
        pages = []
        # The mirror knows no account of an event that is over.
        over = timezone.now() - timedelta(days=1)
        Event.objects.update(starts_at=over, ends_at=over + timedelta(hours=1))
        event = make_event(slug="outra")
        Client().get("/promo/outra/")
    thief = copy_of(browser)
    take_database_away()
    said = html_of(browser.browser.post("/sign-out/"))
    assert "ends when it answers again" in said
    for path in pages:
        assert guest.name not in html_of(thief.get(path))
    assert 'action="/sign-out/"' not in html_of(thief.get(f"/promo/{event.slug}/"))
    body = {"event_id": event.pk}
    response = thief.browser.post(CREATE, body, content_type="application/json")
    assert response.status_code == 401
    bring_database_back()
    assert get_journal().ended_sessions() == []
    assert 'action="/sign-out/"' not in html_of(thief.get("/promo/"))
    for path in pages:
        assert guest.name not in html_of(thief.get(path))
    account.refresh_from_db()
    assert len(account.ended_sessions) == 2, "the session, and the browser that registered"


def test_signing_out_of_a_dead_session_in_an_outage_ends_no_other(event: Event) -> None:
    browser = registered(event)
    account = User.objects.get(email=RITA["email"])
    dead = copy_of(browser)
    account.sign_out_everywhere()
    owner = signed_in(event, account)
    take_database_away()
    dead.browser.post("/sign-out/")
    bring_database_back()
    assert 'action="/sign-out/"' in html_of(owner.get("/promo/"))
    account.refresh_from_db()
    assert len(account.ended_sessions) == 1, "the browser's id, by signing out everywhere"


# One phone, two people ---------------------------------------------------------------------------


def friend_and_owner(event: Event) -> tuple[Visitor, User, User]:
    """Have a friend register on somebody's phone, and then its owner register there too."""
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
def test_an_outage_signs_no_browser_in_as_a_friend_who_once_used_it(
    event: Event, *, is_proven: bool, has_replaced: bool
) -> None:
    browser, friend, owner = friend_and_owner(event)
    if is_proven:
        prove_by_link(friend)
    if not has_replaced:
        # As an account that replaced another one before this release did.
        User.objects.update(ended_sessions=[])
    create_due_guests()
    take_database_away()
    browser.give_phone("961 000 001")
    page = location_of(browser.register(first_name="X", last_name="Y", email="x@example.com"))
    bring_database_back()
    response = browser.get(page)
    assert state_in(response) == "registered_elsewhere"
    assert "Alda" not in html_of(response)
    phone = {"phone": friend.phone}
    told = browser.browser.post(
        "/api/client-auth-v2/check-phone", phone, content_type="application/json"
    )
    assert told.json()["userId"] is None
    assert browser.browser.session[SESSION_KEY] == str(owner.pk)


def test_signing_in_over_another_account_ends_its_session_and_its_copies(event: Event) -> None:
    browser, copy = Visitor(event), Visitor(event)
    browser.give_phone("961 000 001")
    browser.register(first_name="Alda", last_name="Amiga", email="alda@example.com")
    copy.browser.cookies["session"] = browser.browser.cookies["session"].value
    browser.give_phone("961 000 002")
    browser.register(first_name="Fred", last_name="Dono", email="fred@example.com")
    assert 'action="/sign-out/"' in html_of(browser.get("/promo/"))
    assert 'action="/sign-out/"' not in html_of(copy.get("/promo/"))


def test_who_registered_in_an_outage_is_back_though_the_link_was_opened_first(
    event: Event,
) -> None:
    take_database_away()
    browser = Visitor(event)
    browser.give_phone()
    page = location_of(browser.register(**RITA))
    bring_database_back()
    prove_by_link(User.objects.get(email=RITA["email"]))
    assert state_in(browser.get(page)) == "created"
    assert 'action="/sign-out/"' in html_of(browser.get("/promo/"))
