"""The pages of events in every state of their list, in both languages."""

from collections.abc import Callable

import pytest
from django.db.models.functions import Now
from django.test import Client

from guests.models import Event
from guests.posters.palettes import palette_number
from guests.requests.waiting_list import cancel_guests
from tests.factories import (
    make_account,
    make_event,
    make_event_promoter,
    make_guest,
    make_staff,
    make_team,
)
from tests.helpers.events import (
    cancelled_event,
    closed_event,
    event_with_waiting_list,
    full_event,
    future_event,
    open_event,
    past_event,
)
from tests.helpers.pages import Outline, check_page, in_both_languages
from tests.helpers.visitors import Visitor, html_of

pytestmark = pytest.mark.django_db


LIST_STATES = [
    (open_event, "Quero entrar na lista", "I want to be on the list"),
    (open_event, "Restam 2 lugares", "2 places left"),
    (event_with_waiting_list, "Entrar na lista de espera", "Join the waiting list"),
    (full_event, "A lista está cheia.", "The list is full."),
    (future_event, "A lista abre em", "The list opens in"),
    (closed_event, "A lista está fechada.", "The list is closed."),
    (cancelled_event, "Este evento foi cancelado.", "This event was cancelled."),
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


@pytest.mark.parametrize("make", [full_event, closed_event, cancelled_event])
def test_an_event_that_accepts_no_requests_has_no_button(make: Callable[[], Event]) -> None:
    visitor = Visitor(make())
    links = Outline(html_of(visitor.look())).all("a")
    buttons = [link["href"] for link in links if link.get("class") == "button"]
    assert visitor.step_url("phone") not in buttons


@pytest.mark.parametrize(
    ("make", "has_link"),
    [
        (event_with_waiting_list, True),
        (full_event, True),
        (closed_event, True),
        (past_event, False),
        (cancelled_event, False),
        (future_event, False),
        (open_event, False),
    ],
)
def test_the_page_of_a_full_or_closed_event_links_guests_to_their_code(
    make: Callable[[], Event], *, has_link: bool
) -> None:
    visitor = Visitor(make())
    link = "On the list already?"
    assert (link in html_of(visitor.look())) == has_link
    assert link not in html_of(visitor.signed_in(make_account()).look())


def test_a_list_that_is_not_open_counts_down_and_keeps_its_button_back() -> None:
    page = Outline(html_of(Visitor(future_event()).look()))
    assert [3590 <= int(seconds) <= 3600 for seconds in page.values("data-countdown")] == [True]
    assert ["hidden" in given for _, given in page.tags if "data-after" in given] == [True]
    assert ["disabled" in given for given in page.all("button") if "data-before" in given] == [True]


def test_one_place_left_is_said_in_the_singular() -> None:
    event = make_event(shows_places_left=True, capacity=1)
    assert "Resta um lugar" in html_of(Visitor(event, language="pt").look())
    assert "One place left" in html_of(Visitor(event).look())


def test_an_event_can_hide_its_places_left() -> None:
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
    assert f"poster-{palette_number(event.slug)}" in html_of(Visitor(event).look())


def test_an_event_elsewhere_names_its_zone() -> None:
    here, there = make_event(), make_event(time_zone="Atlantic/Azores")
    assert "(Europe/Lisbon)" in html_of(Visitor(here).look())
    assert "Atlantic/Azores" in html_of(Visitor(there).look())


@in_both_languages
def test_events_are_listed_with_the_state_of_their_lists(language: str) -> None:
    made = [open_event(), full_event(), future_event(), cancelled_event()]
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
def test_events_of_the_visitor_come_first_with_their_state(language: str) -> None:
    other, held, waited, given_up = (
        open_event(),
        make_event(),
        event_with_waiting_list(),
        open_event(),
    )
    account = make_account()
    make_guest(waited, account)
    make_guest(held, account)
    Event.objects.filter(pk=held.pk).update(list_closes_at=Now())
    cancelled = make_guest(given_up, account)
    cancel_guests(given_up.pk, [cancelled.pk], acting_user=make_staff())
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
