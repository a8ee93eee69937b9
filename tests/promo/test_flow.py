"""The whole way from a promo link to the QR code, with links and forms only."""

import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.core.files.storage import default_storage
from django.db import connection
from django.db.models.functions import Now
from django.http import HttpResponseBase
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from icalendar import Calendar
from pytest_django import Settings

from accounts.models import BlockedPhone, LoginCode, User
from guests.models import Event, Guest, GuestRequest
from guests.qr.codes import image_name, image_url, pass_url
from guests.requests.creating import create_due_guests
from guests.requests.places import cancel_guest
from notifications.models import Email
from tests.factories import (
    make_account,
    make_accounts,
    make_event,
    make_event_promoter,
    make_guest,
    make_request,
    make_staff,
    make_team,
)
from tests.helpers.scans import scan
from tests.helpers.visitors import (
    PERSON,
    PHONE,
    Visitor,
    address_of_step,
    error_beside,
    html_of,
    is_partial,
    last_code,
    location_of,
    rows,
    state_in,
)

pytestmark = pytest.mark.django_db


def registered(event: Event, promoter: str = "") -> tuple[Visitor, str]:
    """Bring somebody new as far as their ticket, and return them with its address."""
    visitor = Visitor(event, promoter)
    visitor.give_phone()
    return visitor, location_of(visitor.register())


def file_of(response: Any) -> bytes:
    """Read a streamed file to its end, which closes it."""
    body: bytes = response.getvalue()
    return body


# The main way ------------------------------------------------------------------------------------


def test_somebody_new_goes_from_the_link_to_the_qr_code() -> None:
    event = make_event()
    visitor = Visitor(event)
    assert visitor.step_url("phone") in html_of(visitor.look())
    assert 'name="phone"' in html_of(visitor.open("phone"))
    assert location_of(visitor.give_phone()) == visitor.step_url("register")
    assert "+351 961 234 567" in html_of(visitor.open("register"))
    shown = visitor.get(location_of(visitor.register()))
    assert state_in(shown) == "created"
    assert "Inês Exemplo" in html_of(shown)
    guest = Guest.objects.get()
    assert guest.qr_token is not None
    assert (guest.phone, guest.name, guest.event) == (PHONE, "Inês Exemplo", event)
    assert image_url(guest.qr_token) in html_of(shown)
    image = visitor.get(image_url(guest.qr_token))
    assert scan(file_of(image)) == pass_url(guest.qr_token)
    emails = Email.objects.order_by("kind").values_list("kind", "to")
    assert list(emails) == [("qr_code", PERSON["email"]), ("welcome", PERSON["email"])]


def test_registering_stores_what_was_typed_and_proves_nothing_yet() -> None:
    registered(make_event())
    account = User.objects.get()
    assert (account.phone, account.name, account.email) == (PHONE, "Inês Exemplo", PERSON["email"])
    assert (account.language, account.verified_at) == ("en", None)
    assert not account.has_usable_password()


def test_a_known_phone_proves_itself_with_a_code() -> None:
    account = make_account()
    visitor = Visitor(make_event())
    assert location_of(visitor.give_phone(account.phone or "")) == visitor.step_url("code")
    shown = html_of(visitor.open("code"))
    assert account.email not in shown
    assert account.first_name not in shown
    assert state_in(visitor.get(location_of(visitor.type_code(account)))) == "created"
    account.refresh_from_db()
    assert account.verified_at is not None
    assert Guest.objects.get().account == account


def test_a_live_session_needs_one_tap() -> None:
    visitor = Visitor(make_event()).signed_in(make_account())
    assert f'action="{visitor.step_url("request")}"' in html_of(visitor.look())
    ticket_url = location_of(visitor.send("request"))
    assert state_in(visitor.get(ticket_url)) == "created"
    assert state_in(visitor.look()) == "created"


def test_without_javascript_a_page_asks_again_where_no_thread_may_wait(all_wait: None) -> None:
    visitor = Visitor(make_event()).signed_in(make_account())
    ticket_url = location_of(visitor.send("request"))
    shown = visitor.get(ticket_url)
    assert state_in(shown) == "processing"
    assert '<noscript><meta http-equiv="refresh" content="2"></noscript>' in html_of(shown)
    create_due_guests()
    assert state_in(visitor.get(ticket_url)) == "created"


def test_ones_own_number_needs_no_code_in_a_live_session() -> None:
    account = make_account()
    visitor = Visitor(make_event()).signed_in(account)
    assert "/ticket/" in location_of(visitor.give_phone(account.phone or ""))
    assert not LoginCode.objects.exists()


def test_without_a_session_the_request_asks_for_the_phone() -> None:
    visitor = Visitor(make_event())
    assert location_of(visitor.send("request")) == visitor.step_url("phone")
    assert location_of(visitor.open("request")) == visitor.event_url


def test_whoever_is_on_the_list_has_the_same_qr_at_once() -> None:
    guest = make_guest()
    visitor = Visitor(guest.event).signed_in(guest.account)
    assert guest.qr_token
    for _ in range(2):
        shown = visitor.get(location_of(visitor.send("request")))
        assert state_in(shown) == "created"
        assert image_url(guest.qr_token) in html_of(shown)
    assert state_in(visitor.look()) == "created"
    assert GuestRequest.objects.count() == Guest.objects.count() == 1


def test_another_device_has_the_same_qr_after_a_code() -> None:
    guest = make_guest()
    device = Visitor(guest.event)
    device.give_phone(guest.phone)
    shown = device.get(location_of(device.type_code(guest.account)))
    assert state_in(shown) == "created"
    assert guest.qr_token
    assert image_url(guest.qr_token) in html_of(shown)
    assert Email.objects.filter(kind="qr_code").count() == 1


def test_signing_out_ends_the_session() -> None:
    guest = make_guest()
    visitor = Visitor(guest.event).signed_in(guest.account)
    assert location_of(visitor.browser.post("/sign-out/")) == "/promo/"
    assert state_in(visitor.look()) == ""
    assert visitor.browser.get("/sign-out/").status_code == 405


def test_signing_out_everywhere_ends_sessions_on_other_devices() -> None:
    guest = make_guest()
    visitor = Visitor(guest.event).signed_in(guest.account)
    guest.account.sign_out_everywhere()
    assert state_in(visitor.look()) == ""
    assert location_of(visitor.send("request")) == visitor.step_url("phone")


# Promoters ---------------------------------------------------------------------------------------


def test_a_guest_is_attributed_to_promoter_and_team() -> None:
    works = make_event_promoter(team=make_team())
    visitor, _ = registered(works.event, works.promoter.code)
    assert works.promoter.name in html_of(visitor.look())
    guest = Guest.objects.get()
    assert (guest.promoter, guest.team) == (works.promoter, works.team)


def test_a_promoter_of_no_team_and_no_promoter_at_all() -> None:
    works = make_event_promoter()
    Visitor(works.event, works.promoter.code).signed_in(make_account()).send("request")
    Visitor(works.event).signed_in(make_account()).send("request")
    first, second = GuestRequest.objects.order_by("pk")
    assert (first.promoter, first.team) == (works.promoter, None)
    assert (second.promoter, second.team) == (None, None)


def test_pages_name_their_ids_for_scripts() -> None:
    works = make_event_promoter(team=make_team())
    shown = html_of(Visitor(works.event, works.promoter.code).look())
    assert f'data-event-id="{works.event.pk}"' in shown
    assert f'data-promoter-id="{works.promoter.pk}"' in shown
    assert f'data-team-id="{works.team_id}"' in shown


@pytest.mark.parametrize("step", ["phone", "code", "register", "request"])
def test_a_promoter_who_is_not_at_the_event_leads_nowhere(step: str) -> None:
    elsewhere = make_event_promoter().promoter
    visitor = Visitor(make_event(), elsewhere.code).signed_in(make_account())
    before = rows()
    assert visitor.look().status_code == 404
    assert visitor.send(step, phone=PHONE).status_code == 404
    assert rows() == before


# Lists that take nobody --------------------------------------------------------------------------


def not_open_yet() -> Event:
    return make_event(list_opens_at=timezone.now() + timedelta(hours=2))


def closed() -> Event:
    now = timezone.now()
    return make_event(list_opens_at=now - timedelta(days=2), list_closes_at=now - timedelta(days=1))


def cancelled() -> Event:
    return make_event(cancelled_at=timezone.now())


def full() -> Event:
    return make_guest(make_event(capacity=1, has_waiting_list=False)).event


@pytest.mark.parametrize(
    ("make", "on_page", "refusal"),
    [
        (not_open_yet, "The list opens in", "The list is not open yet."),
        (closed, "The list is closed.", "The list is closed."),
        (cancelled, "This event was cancelled.", "cancelled"),
        (full, "The list is full.", "The list is full."),
    ],
)
@pytest.mark.parametrize("htmx", [False, True])
def test_a_list_that_takes_nobody_says_why(
    make: Callable[[], Event], on_page: str, refusal: str, htmx: bool
) -> None:
    visitor = Visitor(make(), htmx=htmx)
    page = visitor.look()
    assert page.status_code == 200
    assert on_page in html_of(page)
    signed_in = Visitor(visitor.event, htmx=htmx).signed_in(make_account())
    before = rows()
    for response in (visitor.give_phone(), signed_in.send("request")):
        assert response.status_code == 409
        assert refusal in html_of(response)
        assert is_partial(response) == htmx
    assert rows() == before


@pytest.mark.parametrize("make", [not_open_yet, cancelled])
def test_a_list_on_which_nobody_can_be_asks_for_no_phone(make: Callable[[], Event]) -> None:
    assert Visitor(make()).open("phone").status_code == 409


@pytest.mark.parametrize("is_closed", [True, False])
def test_whoever_came_in_time_has_the_same_qr_in_another_browser(*, is_closed: bool) -> None:
    guest = make_guest(make_event(capacity=1, has_waiting_list=False))
    if is_closed:
        Event.objects.update(list_closes_at=Now())
    device = Visitor(guest.event)
    assert device.step_url("phone") in html_of(device.look())
    assert 'name="phone"' in html_of(device.open("phone"))
    assert location_of(device.give_phone(guest.phone)) == device.step_url("code")
    shown = device.get(location_of(device.type_code(guest.account)))
    assert state_in(shown) == "created"
    assert guest.qr_token
    assert image_url(guest.qr_token) in html_of(shown)


@pytest.mark.parametrize("make", [closed, full])
def test_somebody_known_who_comes_too_late_is_refused(make: Callable[[], Event]) -> None:
    account, visitor = make_account(), Visitor(make())
    visitor.give_phone(account.phone or "")
    before = rows()
    response = visitor.type_code(account)
    assert (response.status_code, "The list is" in html_of(response)) == (409, True)
    assert rows() == before


def test_a_list_that_closes_before_the_last_form_makes_no_account() -> None:
    event = make_event()
    visitor = Visitor(event)
    visitor.give_phone()
    Event.objects.update(list_closes_at=timezone.now() - timedelta(minutes=1))
    response = visitor.register()
    assert (response.status_code, "The list is closed." in html_of(response)) == (409, True)
    assert set(rows().values()) == {0}


def test_a_countdown_runs_to_the_opening_by_the_databases_clock() -> None:
    shown = html_of(Visitor(not_open_yet()).look())
    found = re.search(r'data-countdown="(\d+)"', shown)
    assert found
    assert 7190 <= int(found[1]) <= 7200


def test_a_full_list_offers_the_waiting_line() -> None:
    event = make_guest(make_event(capacity=1)).event
    visitor = Visitor(event)
    assert "Join the waiting list" in html_of(visitor.look())
    visitor.give_phone()
    ticket_url = location_of(visitor.register())
    shown = visitor.get(ticket_url)
    assert state_in(shown) == "waitlisted-1"
    assert "/media/qr/" not in html_of(shown)
    assert Email.objects.filter(kind="waitlisted", to=PERSON["email"]).exists()


def test_who_waits_gets_the_place_that_becomes_free() -> None:
    first = make_guest(make_event(capacity=1))
    visitor, ticket_url = registered(first.event)
    cancel_guest(first, acting_user=make_staff())
    assert state_in(visitor.get(ticket_url)) == "created"
    cancelled = Visitor(first.event).signed_in(first.account)
    assert state_in(cancelled.look()) == "cancelled"


@pytest.mark.parametrize("is_prefix", [False, True])
def test_a_blocked_phone_is_refused_like_any_other(is_prefix: bool) -> None:
    BlockedPhone.objects.create(
        phone=PHONE[:9] if is_prefix else PHONE, is_prefix=is_prefix, reason="sold places"
    )
    visitor = Visitor(make_event())
    assert location_of(visitor.give_phone()) == visitor.step_url("register")
    response = visitor.register()
    assert response.status_code == 403
    assert "We cannot take this request." in html_of(response)
    assert "block" not in html_of(response).lower()
    assert set(rows().values()) == {0}


def test_a_blocked_account_gets_no_code_and_no_place() -> None:
    account = make_account()
    BlockedPhone.objects.create(phone=account.phone or "", reason="sold places")
    event = make_event()
    assert Visitor(event).give_phone(account.phone or "").status_code == 403
    assert Visitor(event).signed_in(account).send("request").status_code == 403
    assert rows() == {"User": 1, "GuestRequest": 0, "Guest": 0, "Email": 0, "LoginCode": 0}


def test_an_account_that_was_switched_off_gets_no_code() -> None:
    account = make_account(is_active=False)
    assert Visitor(make_event()).give_phone(account.phone or "").status_code == 403
    assert not Email.objects.exists()


def test_a_phone_on_the_list_under_another_account_is_told_so() -> None:
    guest = make_guest()
    event, phone = guest.event, guest.account.phone
    User.objects.filter(pk=guest.account.pk).update(phone=None)
    account = make_account(phone=phone)
    visitor = Visitor(event).signed_in(account)
    ticket_url = location_of(visitor.send("request"))
    shown = visitor.get(ticket_url)
    assert state_in(shown) == "refused"
    assert "under another account" in html_of(shown)


# Codes -------------------------------------------------------------------------------------------


@pytest.fixture
def coded() -> tuple[Visitor, User]:
    """Somebody with an account, in front of the form for the code they were sent."""
    account = make_account()
    visitor = Visitor(make_event())
    visitor.give_phone(account.phone or "")
    return visitor, account


@pytest.mark.parametrize("which", [0, 1])
def test_the_last_two_codes_are_good(which: int, coded: tuple[Visitor, User]) -> None:
    visitor, account = coded
    codes = [last_code(account).digits()]
    assert location_of(visitor.send("code", resend="1")) == visitor.step_url("code")
    codes.append(last_code(account).digits())
    assert Email.objects.filter(kind="login_code").count() == 2
    assert "/ticket/" in location_of(visitor.send("code", code=codes[which]))


def test_a_third_code_voids_the_first(coded: tuple[Visitor, User]) -> None:
    visitor, account = coded
    first = last_code(account).digits()
    for _ in range(2):
        visitor.send("code", resend="1")
    refused = visitor.send("code", code=first)
    assert (refused.status_code, bool(error_beside("code", refused))) == (422, True)
    assert "/ticket/" in location_of(visitor.type_code(account))


def test_a_code_counts_only_in_the_browser_that_asked_for_it(coded: tuple[Visitor, User]) -> None:
    visitor, account = coded
    thief = Visitor(visitor.event)
    # The thief stands in front of the code form too, by naming a phone of their own first.
    accomplice = make_account()
    thief.give_phone(accomplice.phone or "")
    assert thief.send("code", code=last_code(account).digits()).status_code == 422
    assert not GuestRequest.objects.exists()
    assert "/ticket/" in location_of(visitor.type_code(account))


def test_a_code_asked_for_elsewhere_leaves_the_one_here_alone(coded: tuple[Visitor, User]) -> None:
    visitor, account = coded
    own = last_code(account).digits()
    elsewhere = Visitor(visitor.event)
    elsewhere.give_phone(account.phone or "")
    assert "/ticket/" in location_of(visitor.send("code", code=own))
    assert "/ticket/" in location_of(elsewhere.type_code(account))


def test_an_expired_code_is_refused(coded: tuple[Visitor, User]) -> None:
    visitor, account = coded
    LoginCode.objects.update(expires_at=Now())
    response = visitor.type_code(account)
    assert response.status_code == 422
    assert "no longer counts" in error_beside("code", response)
    assert not GuestRequest.objects.exists()


def test_a_code_counts_once(coded: tuple[Visitor, User]) -> None:
    visitor, account = coded
    visitor.type_code(account)
    visitor.browser.post("/sign-out/")
    visitor.give_phone(account.phone or "")
    used = LoginCode.objects.filter(used_at__isnull=False).get()
    assert visitor.send("code", code=used.digits()).status_code == 422


def test_the_sixth_try_is_refused_even_with_the_right_code(coded: tuple[Visitor, User]) -> None:
    visitor, account = coded
    right = last_code(account).digits()
    wrong = f"{(int(right) + 1) % 1_000_000:06d}"
    for _ in range(5):
        response = visitor.send("code", code=wrong)
        assert "not the code" in error_beside("code", response)
    response = visitor.send("code", code=right)
    assert response.status_code == 422
    assert "Too many wrong codes" in error_beside("code", response)
    assert not GuestRequest.objects.exists()


def test_codes_are_throttled_for_a_browser(settings: Settings, coded: tuple[Visitor, User]) -> None:
    visitor, account = coded
    settings.LOGIN_CODES_PER_BROWSER = 2
    visitor.send("code", resend="1")
    for response in (visitor.send("code", resend="1"), visitor.give_phone(account.phone or "")):
        assert response.status_code == 429
        assert response["Retry-After"] in {"599", "600"}
        assert "Too many attempts" in html_of(response)
        assert f'data-countdown="{response["Retry-After"]}"' in html_of(response)
    assert Email.objects.filter(kind="login_code").count() == 2


def test_codes_are_throttled_for_an_address(settings: Settings) -> None:
    settings.LOGIN_CODES_PER_ADDRESS = 2
    event = make_event()
    answers = [Visitor(event).give_phone(account.phone or "") for account in make_accounts(3)]
    assert [response.status_code for response in answers] == [303, 303, 429]


def test_a_phone_taken_meanwhile_leads_to_its_code() -> None:
    visitor = Visitor(make_event())
    visitor.give_phone()
    account = make_account(phone=PHONE)
    assert location_of(visitor.register()) == visitor.step_url("code")
    assert User.objects.get() == account
    assert not Email.objects.filter(kind="welcome").exists()
    assert "/ticket/" in location_of(visitor.type_code(account))


# Tickets and passes ------------------------------------------------------------------------------


def test_a_ticket_shows_only_to_its_owner() -> None:
    request = make_request()
    url = f"/promo/{request.event.slug}/ticket/{request.ticket_id}/"
    stranger = Visitor(request.event).signed_in(make_account())
    assert stranger.get(url).status_code == 404
    assert location_of(Visitor(request.event).get(url)) == f"/promo/{request.event.slug}/"
    assert Visitor(request.event).signed_in(request.account).get(url).status_code == 200


def test_a_ticket_has_one_address() -> None:
    request, elsewhere = make_request(), make_event()
    owner = Visitor(request.event).signed_in(request.account)
    assert owner.get(f"/promo/{elsewhere.slug}/ticket/{request.ticket_id}/").status_code == 404


def test_a_request_that_failed_keeps_its_ticket() -> None:
    request = make_request()
    GuestRequest.objects.update(state="dead", ended_at=Now(), error="…")
    visitor = Visitor(request.event).signed_in(request.account)
    shown = visitor.get(f"/promo/{request.event.slug}/ticket/{request.ticket_id}/")
    assert state_in(shown) == "failed"
    assert str(request.ticket_id) in html_of(shown)


def test_a_pass_shows_its_holder_who_it_is_for() -> None:
    guest = make_guest()
    assert guest.qr_token
    shown = Visitor(guest.event).signed_in(guest.account).get(f"/guest/{guest.qr_token}")
    assert guest.name in html_of(shown)
    assert image_url(guest.qr_token) in html_of(shown)
    assert "no-store" in shown["Cache-Control"]


@pytest.mark.parametrize("is_signed_in", [False, True])
def test_a_pass_tells_a_stranger_nothing_personal(is_signed_in: bool) -> None:
    guest = make_guest(make_event(title="Noite Secreta", venue="Sala Secreta"))
    visitor = Visitor(guest.event)
    if is_signed_in:
        visitor.signed_in(make_account())
    shown = visitor.get(f"/guest/{guest.qr_token}")
    assert shown.status_code == 200
    html = html_of(shown)
    account = guest.account
    about = [account.first_name, account.last_name, account.email, account.phone or "", guest.phone]
    about += ["Secreta", "/media/qr/"]
    assert [text for text in about if text in html] == []


def test_a_pass_that_does_not_exist_any_more() -> None:
    guest = make_guest()
    token = guest.qr_token
    cancel_guest(guest, acting_user=make_staff())
    visitor = Visitor(guest.event).signed_in(guest.account)
    assert visitor.get(f"/guest/{token}").status_code == 404
    assert visitor.get("/guest/nobody-has-this-token").status_code == 404


def test_a_qr_image_may_be_kept_for_ever() -> None:
    guest = make_guest()
    response = Client().get(image_url(guest.qr_token or ""))
    assert response["Content-Type"] == "image/png"
    assert set(response["Cache-Control"].split(", ")) == {"public", "max-age=31536000", "immutable"}
    assert scan(file_of(response)) == pass_url(guest.qr_token or "")


def test_a_qr_image_costs_no_query(django_assert_num_queries: Any) -> None:
    url = image_url(make_guest().qr_token or "")
    with django_assert_num_queries(0):
        file_of(Client().get(url))


def test_a_qr_image_that_storage_lost_is_drawn_again() -> None:
    guest = make_guest()
    token = guest.qr_token or ""
    before = file_of(Client().get(image_url(token)))
    default_storage.delete(image_name(token))
    assert file_of(Client().get(image_url(token))) == before
    assert default_storage.exists(image_name(token))


def test_nobody_can_have_images_drawn_for_tokens_of_nobody() -> None:
    assert Client().get("/media/qr/nobody-has-this-token.png").status_code == 404
    assert not default_storage.exists("qr/nobody-has-this-token.png")


def test_the_calendar_file_says_when_and_where() -> None:
    event = make_event(
        title="Festa; com, sinais\\", address="Rua 1, Lisboa", time_zone="Atlantic/Azores"
    )
    response = Client().get(f"/promo/{event.slug}/calendar.ics")
    assert response["Content-Type"].startswith("text/calendar")
    assert f'filename="{event.slug}.ics"' in response["Content-Disposition"]
    calendar = Calendar.from_ical(response.content)
    (entry,) = calendar.walk("VEVENT")
    assert entry["summary"] == event.title
    assert entry["location"] == "Sala Exemplo, Rua 1, Lisboa"
    start = entry.decoded("dtstart")
    assert start == event.starts_at.replace(microsecond=0)
    assert start.utcoffset() == event.local_start.utcoffset()
    assert entry.decoded("dtend") == event.ends_at.replace(microsecond=0)
    assert str(entry["url"]).endswith(f"/promo/{event.slug}/")


# Languages and zones -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("accepted", "language", "words"),
    [
        ("en-GB,en;q=0.8", "en", "What is your number?"),
        ("pt-BR,pt;q=0.9,en;q=0.1", "pt-pt", "Qual é o teu número?"),
        ("de,fr;q=0.7", "pt-pt", "Qual é o teu número?"),
        ("", "pt-pt", "Qual é o teu número?"),
    ],
)
def test_pages_speak_the_browsers_language(accepted: str, language: str, words: str) -> None:
    shown = Visitor(make_event(), language=accepted).open("phone")
    assert f'<html lang="{language}"' in html_of(shown)
    assert words in html_of(shown)


def test_the_switch_changes_the_language_and_comes_back() -> None:
    visitor = Visitor(make_event())
    switch = {"language": "pt-pt", "next": visitor.event_url}
    assert location_of(visitor.browser.post("/i18n/setlang/", switch)) == visitor.event_url
    assert '<html lang="pt-pt"' in html_of(visitor.look())
    elsewhere = {"language": "en", "next": "https://evil.example/"}
    assert location_of(visitor.browser.post("/i18n/setlang/", elsewhere)) == "/"


def test_emails_speak_the_language_of_the_page() -> None:
    visitor = Visitor(make_event(), language="pt")
    visitor.give_phone()
    visitor.register()
    emails = Email.objects.order_by("kind").values_list("kind", "language")
    assert list(emails) == [("qr_code", "pt-pt"), ("welcome", "pt-pt")]


def test_times_are_the_events_own() -> None:
    start = timezone.now().replace(month=1, day=15, hour=20, minute=30) + timedelta(days=365)
    event = make_event(
        starts_at=start, ends_at=start + timedelta(hours=5), time_zone="Atlantic/Azores"
    )
    assert "19:30" in html_of(Visitor(event).look())
    assert "Atlantic/Azores" in html_of(Visitor(event).look())


# HTMX --------------------------------------------------------------------------------------------


def test_every_step_is_a_partial_of_the_same_address() -> None:
    visitor = Visitor(make_event(), htmx=True)
    phone = visitor.open("phone")
    assert (is_partial(phone), 'name="phone"' in html_of(phone)) == (True, True)
    register = visitor.give_phone()
    assert register.status_code == 200
    assert address_of_step(register["HX-Push-Url"]) == visitor.step_url("register")
    assert (is_partial(register), 'name="email"' in html_of(register)) == (True, True)
    ticket = visitor.register()
    assert (ticket.status_code, state_in(ticket), is_partial(ticket)) == (200, "processing", True)
    create_due_guests()
    polled = visitor.get(ticket["HX-Push-Url"])
    assert (state_in(polled), is_partial(polled)) == ("created", True)
    # The same address without HTMX is the whole page.
    assert not is_partial(visitor.get(ticket["HX-Push-Url"], headers={"hx-request": ""}))


def test_the_code_step_and_its_errors_are_partials_too() -> None:
    account = make_account()
    visitor = Visitor(make_event(), htmx=True)
    code = visitor.give_phone(account.phone or "")
    assert (is_partial(code), 'name="code"' in html_of(code)) == (True, True)
    wrong = visitor.send("code", code="12345")
    assert (is_partial(wrong), wrong.status_code) == (True, 422)
    assert error_beside("code", wrong) == "The code has six digits."
    assert is_partial(visitor.send("code", resend="1"))
    ticket = visitor.type_code(account)
    assert (is_partial(ticket), state_in(ticket)) == (True, "processing")


def test_no_cache_keeps_a_partial_for_a_page() -> None:
    visitor = Visitor(make_event())
    for response in (visitor.look(), visitor.open("phone")):
        assert "no-store" in response["Cache-Control"]


# Queries -----------------------------------------------------------------------------------------


def crowd(event: Event, size: int) -> None:
    """Put people and promoters on an event, and other events beside it."""
    for account in make_accounts(size):
        make_request(event, account)
    create_due_guests()
    for _ in range(size):
        make_event_promoter(event)
        make_event()


def list_events(visitor: Visitor, _account: User) -> HttpResponseBase:
    return visitor.get("/promo/")


def list_events_signed_in(visitor: Visitor, account: User) -> HttpResponseBase:
    return visitor.signed_in(account).get("/promo/")


def look(visitor: Visitor, _account: User) -> HttpResponseBase:
    return visitor.look()


def look_signed_in(visitor: Visitor, account: User) -> HttpResponseBase:
    return visitor.signed_in(account).look()


def open_phone(visitor: Visitor, _account: User) -> HttpResponseBase:
    return visitor.open("phone")


def give_new_phone(visitor: Visitor, _account: User) -> HttpResponseBase:
    return visitor.give_phone()


def give_known_phone(visitor: Visitor, account: User) -> HttpResponseBase:
    return visitor.give_phone(account.phone or "")


def tap(visitor: Visitor, _account: User) -> HttpResponseBase:
    return Visitor(visitor.event, htmx=True).signed_in(make_account()).send("request")


def tap_without_javascript(visitor: Visitor, _account: User) -> HttpResponseBase:
    """The guest is made in this request too."""
    return visitor.signed_in(make_account()).send("request")


def see_pass(visitor: Visitor, account: User) -> HttpResponseBase:
    token = Guest.objects.get(event=visitor.event, account=account).qr_token
    return visitor.signed_in(account).get(f"/guest/{token}")


def see_ticket(visitor: Visitor, account: User) -> HttpResponseBase:
    request = GuestRequest.objects.get(event=visitor.event, account=account)
    url = f"/promo/{visitor.event.slug}/ticket/{request.ticket_id}/"
    return visitor.signed_in(account).get(url)


def queries_of(work: Callable[[], HttpResponseBase]) -> int:
    with CaptureQueriesContext(connection) as seen:
        assert work().status_code in {200, 303}
    return len(seen)


def cost(step: Callable[[Visitor, User], HttpResponseBase], size: int) -> int:
    """Count the queries of a step at an event with `size` people before."""
    event = make_event()
    crowd(event, size)
    account = make_guest(event).account
    visitor = Visitor(event)
    visitor.look()
    return queries_of(lambda: step(visitor, account))


@pytest.mark.parametrize(
    ("step", "most"),
    [
        (list_events, 1),
        (list_events_signed_in, 3),
        (look, 1),
        (look_signed_in, 5),
        (open_phone, 1),
        (give_new_phone, 2),
        (give_known_phone, 18),
        (tap, 9),
        (tap_without_javascript, 26),
        (see_pass, 4),
        (see_ticket, 5),
    ],
)
def test_a_step_costs_the_same_for_few_and_for_many(
    step: Callable[[Visitor, User], HttpResponseBase], most: int
) -> None:
    few = cost(step, 1)
    User.objects.filter(phone=PHONE).delete()
    assert cost(step, 12) == few <= most


def register_cost(size: int) -> int:
    visitor = Visitor(make_event(), htmx=True)
    crowd(visitor.event, size)
    visitor.look()
    visitor.give_phone(f"9612345{size:02d}")
    return queries_of(visitor.register)


def code_cost(size: int) -> int:
    visitor, account = Visitor(make_event(), htmx=True), make_account()
    crowd(visitor.event, size)
    visitor.look()
    visitor.give_phone(account.phone or "")
    digits = last_code(account).digits()
    return queries_of(lambda: visitor.send("code", code=digits))


def waiting_cost(size: int) -> int:
    event = make_event(capacity=1)
    crowd(event, size)
    account = make_guest(event).account
    visitor = Visitor(event)
    visitor.look()
    return queries_of(lambda: see_ticket(visitor, account))


@pytest.mark.parametrize(
    ("cost_of", "most"), [(register_cost, 16), (code_cost, 20), (waiting_cost, 6)]
)
def test_the_last_step_costs_the_same_for_few_and_for_many(
    cost_of: Callable[[int], int], most: int
) -> None:
    assert cost_of(1) == cost_of(12) <= most
