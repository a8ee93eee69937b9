"""What guests see in every state, in both languages, and that each page is sound HTML."""

import hashlib
from collections.abc import Callable
from datetime import timedelta
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.core.cache import cache
from django.db.models.functions import Now
from django.template.loader import render_to_string
from django.test import Client
from django.utils import timezone, translation

from accounts.email_links import signature_for
from accounts.models import Claim, User
from guests.claims.services import grant_claim, undo_claim
from guests.models import Event, GuestRequest
from guests.requests.places import cancel_guest
from guests.requests.tickets import Ticket
from promo.rendering import ticket_context
from tests.factories import (
    make_account,
    make_event,
    make_event_promoter,
    make_guest,
    make_request,
    make_staff,
    make_team,
)
from tests.helpers.visitors import PERSON, Visitor, html_of, location_of, state_in

pytestmark = pytest.mark.django_db

VENDOR = Path(settings.BASE_DIR) / "static" / "vendor"
LANGUAGES = {"pt": "pt-pt", "en": "en"}
HOUR = timedelta(hours=1)

in_both_languages = pytest.mark.parametrize("language", ["pt", "en"])


class Outline(HTMLParser):
    """What the checks below need to know of a page."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]

    def values(self, attribute: str) -> list[str]:
        return [value for _, given in self.tags if (value := given.get(attribute))]


def check_page(response: Any, language: str) -> None:
    """See that a page could be read out, and that the CSP would let all of it work."""
    page = Outline(html_of(response))
    assert page.all("html") == [{"lang": LANGUAGES[language]}]
    assert len(page.all("h1")) == len(page.all("main")) == len(page.all("title")) == 1
    ids = page.values("id")
    assert len(ids) == len(set(ids))
    labelled = {label["for"] for label in page.all("label")}
    for field in page.all("input") + page.all("select"):
        assert field.get("type") == "hidden" or field["id"] in labelled, field
    for described_by in page.values("aria-describedby"):
        assert described_by in ids
    assert all("alt" in image for image in page.all("img"))
    assert all(script.get("src") for script in page.all("script"))
    assert not page.all("style")
    for _, attributes in page.tags:
        assert not [name for name in attributes if name == "style" or name.startswith("on")]


# The event, in every state of its list -----------------------------------------------------------


def _open() -> Event:
    return make_event(shows_places_left=True, capacity=2)


def _full() -> Event:
    event = make_event(capacity=1)
    make_guest(event)
    return event


def _full_for_good() -> Event:
    event = make_event(capacity=1, has_waiting_list=False)
    make_guest(event)
    return event


def _not_open_yet() -> Event:
    return make_event(list_opens_at=timezone.now() + HOUR)


def _closed() -> Event:
    now = timezone.now()
    return make_event(list_opens_at=now - 2 * HOUR, list_closes_at=now - HOUR)


def _over() -> Event:
    now = timezone.now()
    times = {"list_opens_at": now - 3 * HOUR, "starts_at": now - 2 * HOUR, "ends_at": now - HOUR}
    return make_event(**times, list_closes_at=now - 2 * HOUR)


def _cancelled() -> Event:
    return make_event(cancelled_at=timezone.now())


LIST_STATES = [
    (_open, "Quero entrar na lista", "I want to be on the list"),
    (_open, "Restam 2 lugares", "2 places left"),
    (_full, "Entrar na lista de espera", "Join the waiting list"),
    (_full_for_good, "A lista está cheia.", "The list is full."),
    (_not_open_yet, "A lista abre em", "The list opens in"),
    (_closed, "A lista está fechada.", "The list is closed."),
    (_cancelled, "Este evento foi cancelado.", "This event was cancelled."),
]


@in_both_languages
@pytest.mark.parametrize(("make", "in_portuguese", "in_english"), LIST_STATES)
def test_an_event_says_the_state_of_its_list(
    make: Callable[[], Event], in_portuguese: str, in_english: str, language: str
) -> None:
    expected, other = in_portuguese, in_english
    if language == "en":
        expected, other = other, expected
    response = Visitor(make(), language=language).look()
    check_page(response, language)
    assert expected in html_of(response)
    assert other not in html_of(response)


@pytest.mark.parametrize("make", [_full_for_good, _closed, _cancelled])
def test_a_list_that_takes_nobody_has_no_button(make: Callable[[], Event]) -> None:
    visitor = Visitor(make())
    links = Outline(html_of(visitor.look())).all("a")
    buttons = [link["href"] for link in links if link.get("class") == "button"]
    assert visitor.step_url("phone") not in buttons


@pytest.mark.parametrize(
    ("make", "has_link"),
    [
        (_full, True),
        (_full_for_good, True),
        (_closed, True),
        (_over, False),
        (_cancelled, False),
        (_not_open_yet, False),
        (_open, False),
    ],
)
def test_a_late_page_leads_those_who_came_in_time_to_their_code(
    make: Callable[[], Event], *, has_link: bool
) -> None:
    visitor = Visitor(make())
    link = "On the list already?"
    assert (link in html_of(visitor.look())) == has_link
    assert link not in html_of(visitor.signed_in(make_account()).look())


def test_a_list_that_is_not_open_counts_down_and_keeps_its_button_back() -> None:
    page = Outline(html_of(Visitor(_not_open_yet()).look()))
    assert [3590 <= int(seconds) <= 3600 for seconds in page.values("data-countdown")] == [True]
    assert ["hidden" in given for _, given in page.tags if "data-after" in given] == [True]
    assert ["disabled" in given for given in page.all("button") if "data-before" in given] == [True]


def test_one_place_left_is_said_in_the_singular() -> None:
    event = make_event(shows_places_left=True, capacity=1)
    assert "Resta um lugar" in html_of(Visitor(event, language="pt").look())
    assert "One place left" in html_of(Visitor(event).look())


def test_places_left_are_kept_to_itself_by_an_event_that_does_not_show_them() -> None:
    assert "places left" not in html_of(Visitor(make_event(capacity=2)).look())


def test_an_event_shows_its_promoter_venue_and_description() -> None:
    event = make_event(address="Rua Exemplo 1", description="Uma noite\n\n<b>e outra</b>")
    at_event = make_event_promoter(event, team=make_team())
    html = html_of(Visitor(event, at_event.promoter.code).look())
    for text in (at_event.promoter.name, "Sala Exemplo", "Rua Exemplo 1", "Uma noite"):
        assert text in html
    raw = Visitor(event).look().content.decode()
    assert "&lt;b&gt;e outra" in raw


def test_an_event_without_a_poster_has_a_colour_of_its_own() -> None:
    event = make_event()
    assert f"poster-{event.pk % 10}" in html_of(Visitor(event).look())


def test_an_event_elsewhere_names_its_zone() -> None:
    here, there = make_event(), make_event(time_zone="Atlantic/Azores")
    assert "Europe/Lisbon" not in html_of(Visitor(here).look())
    assert "Atlantic/Azores" in html_of(Visitor(there).look())


@in_both_languages
def test_events_are_listed_with_the_state_of_their_lists(language: str) -> None:
    made = [_open(), _full_for_good(), _not_open_yet(), _cancelled()]
    response = Visitor(made[0], language=language).get("/promo/")
    check_page(response, language)
    for event in made:
        assert f'href="/promo/{event.slug}/"' in html_of(response)
    badges = ["Lista aberta", "Lista cheia", "Abre em breve", "Cancelado"]
    if language == "en":
        badges = ["List open", "List full", "Opens soon", "Cancelled"]
    assert all(badge in html_of(response) for badge in badges)


def test_no_events_is_not_an_empty_page() -> None:
    assert "No lists right now" in html_of(Client(headers={"accept-language": "en"}).get("/promo/"))


@in_both_languages
def test_ones_own_events_come_first_and_say_so(language: str) -> None:
    other, held, waited, given_up = _open(), make_event(), _full(), _open()
    account = make_account()
    make_guest(waited, account)
    make_guest(held, account)
    Event.objects.filter(pk=held.pk).update(list_closes_at=Now())
    cancel_guest(make_guest(given_up, account), acting_user=make_staff())
    visitor = Visitor(other, language=language)
    strangers = html_of(visitor.get("/promo/"))
    response = visitor.signed_in(account).get("/promo/")
    check_page(response, language)
    shown = html_of(response)
    first = ["Estás na lista<", "Estás na lista de espera<"]
    if language == "en":
        first = ["You are on the list<", "You are on the waiting list<"]
    assert [(text in strangers, shown.count(text)) for text in first] == [(False, 1)] * 2
    order = [shown.index(f'href="/promo/{each.slug}/"') for each in (held, waited, other, given_up)]
    assert order == sorted(order)


# The steps ---------------------------------------------------------------------------------------


@in_both_languages
def test_each_step_is_a_sound_page(language: str) -> None:
    visitor = Visitor(make_event(), language=language)
    check_page(visitor.open("phone"), language)
    check_page(visitor.give_phone("12"), language)
    visitor.give_phone()
    check_page(visitor.open("register"), language)
    check_page(visitor.register(first_name="", email="nobody"), language)
    known = make_account()
    visitor.give_phone(known.phone or "")
    check_page(visitor.open("code"), language)
    check_page(visitor.send("code", code="12"), language)


def test_the_first_wrong_field_has_the_focus_and_its_error() -> None:
    visitor = Visitor(make_event())
    visitor.give_phone()
    response = visitor.register(last_name="", email="nobody")
    fields = {field["name"]: field for field in Outline(html_of(response)).all("input")}
    assert ["autofocus" in fields[name] for name in ("first_name", "last_name", "email")] == [
        False,
        True,
        False,
    ]
    assert fields["first_name"]["value"] == "Inês"
    assert fields["email"]["value"] == "nobody"
    assert fields["email"]["aria-invalid"] == "true"
    assert fields["email"]["aria-describedby"] == "id_email_error"


def test_a_code_that_was_sent_again_is_said_to_be() -> None:
    account = make_account()
    visitor = Visitor(make_event(), htmx=True)
    assert "The last two codes" not in html_of(visitor.give_phone(account.phone or ""))
    assert "The last two codes" in html_of(visitor.send("code", resend="1"))


@pytest.mark.parametrize(("shown", "header"), [("", "HX-Push-Url"), ("-/phone/", "HX-Replace-Url")])
def test_back_leads_from_every_step_to_the_event(shown: str, header: str) -> None:
    event = make_event()
    visitor = Visitor(event, htmx=True)
    headers = {"hx-current-url": f"http://testserver{visitor.event_url}{shown}"}
    response = visitor.get(visitor.step_url("phone"), headers=headers)
    assert response[header] == visitor.step_url("phone")


# The ticket --------------------------------------------------------------------------------------


def _processing(account: User) -> GuestRequest:
    return make_request(account=account)


def _created(account: User) -> GuestRequest:
    return GuestRequest.objects.get(guest=make_guest(account=account))


def _waitlisted(account: User) -> GuestRequest:
    return GuestRequest.objects.get(guest=make_guest(_full(), account))


def _refused(account: User) -> GuestRequest:
    return _ended(account, state=GuestRequest.State.REFUSED, refusal="list_full")


def _failed(account: User) -> GuestRequest:
    return _ended(account, state=GuestRequest.State.DEAD)


def _ended(account: User, **fields: str) -> GuestRequest:
    request = make_request(account=account)
    GuestRequest.objects.filter(pk=request.pk).update(ended_at=timezone.now(), **fields)
    return request


TICKETS = [
    (_processing, "processing", "A guardar o teu lugar", "Holding your place"),
    (_created, "created", "Estás na lista", "You are on the list"),
    (_waitlisted, "waitlisted-1", "Estás na lista de espera", "You are on the waiting list"),
    (_refused, "refused", "A lista está cheia.", "The list is full."),
    (_failed, "failed", "Este pedido precisa de uma ajuda", "This one needs a hand"),
]


@in_both_languages
@pytest.mark.parametrize(("make", "state", "in_portuguese", "in_english"), TICKETS)
def test_a_ticket_says_its_state_on_its_page_and_the_events(
    make: Callable[[User], GuestRequest],
    state: str,
    in_portuguese: str,
    in_english: str,
    language: str,
) -> None:
    account = make_account()
    request = make(account)
    visitor = Visitor(request.event, language=language).signed_in(account)
    ticket_url = f"/promo/{request.event.slug}/ticket/{request.ticket_id}/"
    for response in (visitor.get(ticket_url), visitor.look()):
        check_page(response, language)
        assert state_in(response) == state
        assert (in_english if language == "en" else in_portuguese) in html_of(response)


@pytest.mark.parametrize(
    ("make", "follows", "has_socket"),
    [
        (_processing, True, True),
        (_failed, True, True),
        (_waitlisted, True, False),
        (_created, False, False),
        (_refused, False, False),
    ],
)
def test_a_page_follows_a_ticket_until_it_has_ended(
    make: Callable[[User], GuestRequest], follows: bool, has_socket: bool
) -> None:
    account = make_account()
    request = make(account)
    visitor = Visitor(request.event).signed_in(account)
    url = f"/promo/{request.event.slug}/ticket/{request.ticket_id}/"
    page = Outline(html_of(visitor.get(url)))
    assert ("watch" in page.values("id")) is follows
    sockets = page.values("ws-connect")
    assert sockets == ([f"/ws/promo/{request.ticket_id}/"] if has_socket else [])


def test_a_page_without_scripts_asks_again_by_itself() -> None:
    account = make_account()
    request = make_request(account=account)
    visitor = Visitor(request.event).signed_in(account)
    assert '<meta http-equiv="refresh" content="2">' in html_of(visitor.look())
    request = _created(account)
    assert "http-equiv" not in html_of(Visitor(request.event).signed_in(account).look())


@pytest.mark.parametrize("email", ["rita@example.com", ""])
def test_the_email_is_promised_only_to_whoever_has_one(email: str) -> None:
    account = make_account(email=email)
    request = _created(account)
    html = html_of(Visitor(request.event).signed_in(account).look())
    assert ("on its way to your email" in html) is bool(email)


def test_a_refused_request_may_be_made_again() -> None:
    account = make_account()
    visitor = Visitor(_refused(account).event).signed_in(account)
    html = html_of(visitor.look())
    assert f'action="{visitor.step_url("request")}"' in html


def _ticket(state: str) -> Ticket:
    return Ticket(
        ticket_id="5a0a2b9e-8f3b-4f65-9a57-6f1a3f1d2c11",
        state=state,
        event_slug="festa",
        event_title="Festa",
        venue="Sala Exemplo",
        time_zone="Europe/Lisbon",
        starts_at="2026-11-27T22:30:00+00:00",
        name="Rita Exemplo",
    )


@pytest.mark.parametrize(
    "state", ["processing", "queued", "by_email", "created", "waitlisted", "cancelled", "failed"]
)
def test_a_pushed_state_replaces_the_ticket_and_nothing_else(state: str) -> None:
    context = {**ticket_context(_ticket(state), wait=1, host="localhost"), "oob": True}
    with translation.override("en"):
        html = render_to_string("promo/ticket.html#ticket", context).strip()
    assert html.startswith('<section id="ticket"')
    assert html.endswith("</section>")
    page = Outline(html)
    assert page.values("hx-swap-oob") == ["true"]
    assert page.values("data-state") == [state]
    assert not page.values("ws-connect")


@pytest.mark.parametrize(("wait", "shows_ticket_id"), [(3, False), (40, True)])
def test_a_long_wait_names_the_ticket_and_the_time(wait: int, shows_ticket_id: bool) -> None:
    ticket = _ticket("processing")
    with translation.override("en"):
        context = ticket_context(ticket, wait=wait, host="localhost")
        html = render_to_string("promo/ticket.html#ticket", {**context, "oob": True})
    assert f"About {wait} seconds" in html
    assert (ticket.ticket_id in html) is shows_ticket_id


# A pass, and errors ------------------------------------------------------------------------------


@in_both_languages
def test_a_pass_is_a_sound_page_for_holder_and_stranger(language: str) -> None:
    guest = make_guest()
    visitor = Visitor(guest.event, language=language)
    url = f"/guest/{guest.qr_token}"
    check_page(visitor.get(url), language)
    response = visitor.signed_in(guest.account).get(url)
    check_page(response, language)
    assert guest.name in html_of(response)


@in_both_languages
def test_pages_about_a_claim_are_sound_in_each_state(language: str) -> None:
    account = make_account()
    visitor = Visitor(make_event(), language=language)
    visitor.give_phone(account.phone or "")
    visitor.open("code")
    check_page(visitor.open("claim"), language)
    made_at = location_of(visitor.send("claim", **PERSON))
    claim = Claim.objects.get()
    link = "/from-email/claim/%d/?proof=%s"
    objection = link % (claim.pk, signature_for(account, f"claim:{claim.pk}"))
    check_page(visitor.get(made_at), language)
    check_page(visitor.get(objection, headers={"sec-purpose": "prefetch"}), language)
    check_page(visitor.get(objection), language)
    check_page(visitor.get(made_at), language)
    grant_claim(claim, acting_user=make_staff())
    check_page(visitor.get(made_at), language)
    check_page(visitor.get(objection), language)
    undo_claim(Claim.objects.get(), acting_user=make_staff())
    check_page(visitor.get(made_at), language)
    check_page(visitor.get(objection), language)


@in_both_languages
def test_the_page_of_a_proven_email_is_sound(language: str) -> None:
    account, visitor = make_account(), Visitor(make_event(), language=language)
    link = f"/from-email/welcome/{account.pk}/?proof={signature_for(account, 'welcome')}"
    check_page(visitor.get(link), language)


@in_both_languages
def test_a_page_that_is_not_there_is_a_sound_page(language: str) -> None:
    response = Visitor(make_event(), language=language).get("/promo/nowhere/")
    assert response.status_code == 404
    check_page(response, language)


def test_a_form_that_got_too_old_leads_back_to_its_page() -> None:
    visitor = Visitor(make_event(), checks_csrf=True)
    page = f"http://testserver{visitor.step_url('phone')}"
    response = visitor.browser.post(visitor.step_url("phone"), headers={"referer": page})
    assert response.status_code == 403
    check_page(response, "en")
    assert f'href="{page}"' in html_of(response)
    response = visitor.browser.post(
        visitor.step_url("phone"), headers={"referer": "https://elsewhere.example/"}
    )
    assert "elsewhere" not in html_of(response)


@pytest.mark.parametrize("name", ["400", "403", "500", "503"])
def test_error_pages_ask_nobody_anything(name: str, django_assert_num_queries: Any) -> None:
    cache.clear()
    with django_assert_num_queries(0):
        html = render_to_string(f"errors/{name}.html", {"retry_after": 5})
    assert "<main" in html


# Files -------------------------------------------------------------------------------------------


def test_third_party_files_are_what_was_taken_from_their_packages() -> None:
    lines = (VENDOR / "SHA256SUMS").read_text().splitlines()
    sums = {name: digest for digest, name in (line.split() for line in lines)}
    files = [path for path in VENDOR.rglob("*") if path.is_file() and path.name != "SHA256SUMS"]
    assert {str(path.relative_to(VENDOR)) for path in files} == set(sums)
    for path in files:
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        assert digest == sums[str(path.relative_to(VENDOR))]
