"""The way from a promo link to the QR code, with links and forms only."""

from datetime import timedelta

import pytest
from django.db.models.functions import Now
from django.utils import timezone

from accounts.models import LoginCode, User
from guests.models import Guest, GuestRequest
from guests.qr.codes import image_url, pass_url
from guests.requests.creating import create_due_guests
from notifications.models import Email
from tests.factories import (
    make_account,
    make_event,
    make_event_promoter,
    make_guest,
    make_request,
    make_team,
)
from tests.helpers.scans import scan
from tests.helpers.visitors import (
    PERSON,
    PHONE,
    Visitor,
    address_of_step,
    error_beside,
    file_of,
    html_of,
    is_partial,
    location_of,
    registered,
    state_in,
)

pytestmark = pytest.mark.django_db


# From the link to the QR code ---------------------------------------------------------------------


def test_a_new_visitor_gets_from_the_link_to_the_qr_code() -> None:
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


def test_a_registration_stores_its_fields_and_proves_nothing() -> None:
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


def test_without_javascript_a_page_refreshes_while_all_threads_wait(all_threads_wait: None) -> None:
    visitor = Visitor(make_event()).signed_in(make_account())
    ticket_url = location_of(visitor.send("request"))
    shown = visitor.get(ticket_url)
    assert state_in(shown) == "processing"
    assert '<noscript><meta http-equiv="refresh" content="2"></noscript>' in html_of(shown)
    create_due_guests()
    assert state_in(visitor.get(ticket_url)) == "created"


def test_the_phone_of_the_session_needs_no_code() -> None:
    account = make_account()
    visitor = Visitor(make_event()).signed_in(account)
    assert "/ticket/" in location_of(visitor.give_phone(account.phone or ""))
    assert not LoginCode.objects.exists()


def test_a_request_without_a_session_leads_to_the_phone() -> None:
    visitor = Visitor(make_event())
    assert location_of(visitor.send("request")) == visitor.step_url("phone")
    assert location_of(visitor.open("request")) == visitor.event_url


def test_a_guest_who_requests_again_gets_the_same_qr_code() -> None:
    guest = make_guest()
    visitor = Visitor(guest.event).signed_in(guest.account)
    assert guest.qr_token
    for _ in range(2):
        shown = visitor.get(location_of(visitor.send("request")))
        assert state_in(shown) == "created"
        assert image_url(guest.qr_token) in html_of(shown)
    assert state_in(visitor.look()) == "created"
    assert GuestRequest.objects.count() == Guest.objects.count() == 1


def test_another_device_gets_the_same_qr_code_after_a_code() -> None:
    guest = make_guest()
    device = Visitor(guest.event)
    device.give_phone(guest.phone or "")
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


# Promoters ----------------------------------------------------------------------------------------


def test_a_guest_is_attributed_to_promoter_and_team() -> None:
    works = make_event_promoter(team=make_team())
    visitor, _ = registered(works.event, works.promoter.code)
    assert works.promoter.name in html_of(visitor.look())
    guest = Guest.objects.get()
    assert (guest.promoter, guest.team) == (works.promoter, works.team)


def test_a_request_may_have_no_team_and_no_promoter() -> None:
    works = make_event_promoter()
    Visitor(works.event, works.promoter.code).signed_in(make_account()).send("request")
    Visitor(works.event).signed_in(make_account()).send("request")
    first, second = GuestRequest.objects.order_by("pk")
    assert (first.promoter, first.team) == (works.promoter, None)
    assert (second.promoter, second.team) == (None, None)


def test_pages_have_ids_for_scripts() -> None:
    works = make_event_promoter(team=make_team())
    shown = html_of(Visitor(works.event, works.promoter.code).look())
    assert f'data-event-id="{works.event.pk}"' in shown
    assert f'data-promoter-id="{works.promoter.pk}"' in shown
    assert f'data-team-id="{works.team_id}"' in shown


def test_the_link_of_a_promoter_of_another_event_leads_to_the_event_alone() -> None:
    elsewhere = make_event_promoter().promoter
    visitor = Visitor(make_event(), elsewhere.code).signed_in(make_account())
    shown = html_of(visitor.look())
    assert elsewhere.name not in shown
    assert 'data-promoter-id=""' in shown
    for step in ("phone", "code", "register", "claim", "prove", "request"):
        assert visitor.get(visitor.step_url(step)).status_code < 400
    visitor.send("request")
    assert GuestRequest.objects.get().promoter is None


# Tickets and passes -------------------------------------------------------------------------------


def test_only_the_owner_sees_a_ticket() -> None:
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


# Languages and zones ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("accepted", "language", "words"),
    [
        ("en-GB,en;q=0.8", "en", "What is your number?"),
        ("pt-BR,pt;q=0.9,en;q=0.1", "pt-pt", "Qual é o teu número?"),
        ("de,fr;q=0.7", "en", "What is your number?"),
        ("", "pt-pt", "Qual é o teu número?"),
    ],
)
def test_pages_are_in_the_browsers_language(accepted: str, language: str, words: str) -> None:
    shown = Visitor(make_event(), language=accepted).open("phone")
    assert f'<html lang="{language}"' in html_of(shown)
    assert words in html_of(shown)


def test_the_language_switch_returns_to_its_page() -> None:
    visitor = Visitor(make_event())
    switch = {"language": "pt-pt", "next": visitor.event_url}
    assert location_of(visitor.browser.post("/i18n/setlang/", switch)) == visitor.event_url
    assert '<html lang="pt-pt"' in html_of(visitor.look())
    elsewhere = {"language": "en", "next": "https://evil.example/"}
    assert location_of(visitor.browser.post("/i18n/setlang/", elsewhere)) == "/"


def test_emails_are_in_the_language_of_the_page() -> None:
    visitor = Visitor(make_event(), language="pt")
    visitor.give_phone()
    visitor.register()
    emails = Email.objects.order_by("kind").values_list("kind", "language")
    assert list(emails) == [("qr_code", "pt-pt"), ("welcome", "pt-pt")]


def test_times_are_in_the_time_zone_of_the_event() -> None:
    start = timezone.now().replace(month=1, day=15, hour=20, minute=30) + timedelta(days=365)
    event = make_event(
        starts_at=start, ends_at=start + timedelta(hours=5), time_zone="Atlantic/Azores"
    )
    assert "19:30" in html_of(Visitor(event).look())
    assert "Atlantic/Azores" in html_of(Visitor(event).look())


# HTMX ---------------------------------------------------------------------------------------------


def test_every_step_has_a_partial_at_the_same_address() -> None:
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
    # The same address without HTMX responds with the whole page.
    assert not is_partial(visitor.get(ticket["HX-Push-Url"], headers={"hx-request": ""}))


def test_the_code_step_and_its_errors_have_partials() -> None:
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
