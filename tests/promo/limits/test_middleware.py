"""Limits on pages: which requests count, turns past a limit, and challenges."""

from datetime import timedelta

import pytest
from django.core.exceptions import ValidationError
from django.db.models.functions import Now
from django.test import Client
from django.utils import timezone
from prometheus_client import REGISTRY
from pytest_django import Settings

from guests.models import Guest, GuestRequest
from guests.requests.creating import create_due_guests
from tests.factories import make_account, make_event, make_request
from tests.helpers.challenges import solve
from tests.helpers.visitors import Visitor, html_of, location_of, state_in

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("cheap_challenges")]


def hits(layer: str) -> float:
    return REGISTRY.get_sample_value("rate_limit_hits_total", {"layer": layer}) or 0


# Addresses ----------------------------------------------------------------------------------------


def test_a_page_past_the_limit_of_an_address_says_how_long_to_wait(settings: Settings) -> None:
    settings.LIMIT_IP = 3
    visitor, before = Visitor(make_event()), hits("ip")
    assert [visitor.look().status_code for _ in range(5)] == [200, 200, 200, 429, 429]
    refused = visitor.look()
    assert 1 <= int(refused["Retry-After"]) <= 65
    assert refused["RateLimit-Policy"] == '"ip";q=3;w=60'
    assert refused["RateLimit"] == f'"ip";r=0;t={refused["Retry-After"]}'
    assert (refused["RateLimit-Limit"], refused["RateLimit-Remaining"]) == ("3", "0")
    assert refused["RateLimit-Reset"] == refused["Retry-After"]
    assert f'data-countdown="{refused["Retry-After"]}"' in html_of(refused)
    assert hits("ip") == before + 3


def test_a_response_within_the_limits_says_how_much_is_left(settings: Settings) -> None:
    settings.LIMIT_IP = 10
    settings.LIMIT_PHONE = 5
    visitor = Visitor(make_event())
    assert visitor.look()["RateLimit"].startswith('"ip";r=9;t=')
    response = visitor.give_phone()
    assert response["RateLimit-Policy"] == '"ip";q=10;w=60, "phone";q=5;w=60'
    assert response["RateLimit-Remaining"] == "4"


def test_the_api_refuses_with_its_own_shape(settings: Settings) -> None:
    settings.LIMIT_IP = 1
    browser = Client(headers={"accept-language": "en"})
    path = "/api/client-auth/guests/create-async"
    browser.post(path, {}, content_type="application/json")
    refused = browser.post(path, {}, content_type="application/json")
    assert refused.status_code == 429
    body = refused.json()
    assert (body["success"], body["code"]) == (False, "too_many")
    assert str(body["retryAfter"]) == refused["Retry-After"]
    assert body["error"]


def test_all_spellings_of_a_phone_share_its_limit(settings: Settings) -> None:
    settings.LIMIT_PHONE = 3
    visitor = Visitor(make_event())
    typed = ["961 234 567", "+351961234567", "00351 961-234-567", "961.234.567"]
    assert [visitor.give_phone(each).status_code for each in typed] == [303, 303, 303, 429]
    assert visitor.give_phone("961 234 568").status_code == 303


# Failures on a route ------------------------------------------------------------------------------


def test_only_failures_count_on_a_route(settings: Settings) -> None:
    settings.LIMIT_ROUTES = {**settings.LIMIT_ROUTES, "phone_check": 3}
    visitor = Visitor(make_event())
    good = [f"961 234 5{number}" for number in range(10, 20)]
    assert {visitor.give_phone(each).status_code for each in good} == {303}
    wrong = [visitor.give_phone("12").status_code for _ in range(4)]
    assert wrong == [422, 422, 422, 429]
    assert visitor.look().status_code == 200, "each route has a limit of its own"


def test_a_closed_list_counts_as_no_failure(settings: Settings) -> None:
    settings.LIMIT_ROUTES = {**settings.LIMIT_ROUTES, "guest_create": 1}
    event = make_event(list_closes_at=timezone.now() - timedelta(minutes=1))
    visitor = Visitor(event).signed_in(make_account())
    assert {visitor.send("request").status_code for _ in range(4)} == {409}


def test_requests_for_unknown_pages_are_limited(settings: Settings) -> None:
    settings.LIMIT_ROUTES = {**settings.LIMIT_ROUTES, "promo_pages": 2}
    browser = Client()
    statuses = [browser.get(f"/promo/nothing-{number}/").status_code for number in range(4)]
    assert statuses == [404, 404, 429, 429]


# Crowds -------------------------------------------------------------------------------------------


def test_the_network_of_a_venue_has_a_limit_of_its_own(settings: Settings) -> None:
    settings.LIMIT_IP, settings.LIMIT_VENUE = 2, 40
    event = make_event(venue_networks="198.51.100.0/24\n2001:db8:7::/48")
    for address in ("198.51.100.7", "2001:db8:7:1::99"):
        seen = [
            Client(REMOTE_ADDR=address).get(f"/promo/{event.slug}/").status_code for _ in range(43)
        ]
        assert seen == [200] * 42 + [429]
    elsewhere = Client(REMOTE_ADDR="198.51.101.7")
    assert [elsewhere.get("/promo/").status_code for _ in range(3)] == [200, 200, 429]


@pytest.mark.parametrize("network", ["198.51.100.7/24", "here", "0.0.0.0/0", "::/0", "10.0.0.0/8"])
def test_an_invalid_venue_network_is_refused(network: str) -> None:
    event = make_event(venue_networks=f"198.51.100.0/24 {network}")
    with pytest.raises(ValidationError):
        event.full_clean()


def test_polls_of_a_ticket_count_for_its_owner(settings: Settings) -> None:
    settings.LIMIT_IP = 4
    event = make_event()
    people = []
    for _ in range(3):
        account = make_account()
        people.append((Visitor(event).signed_in(account), make_request(event, account)))
    for visitor, request in people:
        path = f"/promo/{event.slug}/ticket/{request.ticket_id}/"
        assert [visitor.get(path).status_code for _ in range(5)] == [200] * 4 + [429]


# Turns past a limit -------------------------------------------------------------------------------


def test_requests_past_the_limit_of_an_event_get_a_later_turn(settings: Settings) -> None:
    settings.LIMIT_EVENT = 100
    event = make_event(limit_per_minute=2)
    before = hits("event")
    visitors = [Visitor(event).signed_in(make_account()) for _ in range(5)]
    responses = [visitor.send("request") for visitor in visitors]
    assert {response.status_code for response in responses} == {303}
    assert GuestRequest.objects.pending().count() == 3
    assert hits("event") == before + 3
    waits = [
        (request.next_attempt_at - request.accepted_at).total_seconds()
        for request in GuestRequest.objects.order_by("pk")
    ]
    assert waits[:2] == [0, 0]
    assert waits == sorted(waits)
    assert [round(wait / 30) for wait in waits[2:]] == [1, 2, 3]

    shown = visitors[4].get(location_of(responses[4]))
    assert state_in(shown) == "processing-3"
    assert "You are number 3 in line." in html_of(shown)
    create_due_guests()
    assert Guest.objects.count() == 2
    assert "You are number 3 in line." in html_of(visitors[4].get(location_of(responses[4])))
    GuestRequest.objects.pending().update(next_attempt_at=Now())
    create_due_guests()
    assert Guest.objects.count() == 5


def test_requests_past_the_limit_of_the_system_get_a_later_turn(settings: Settings) -> None:
    settings.LIMIT_SYSTEM = 1
    first, second = make_request(), make_request()
    assert not first.is_in_line
    assert second.is_in_line


def test_a_repeated_request_takes_no_second_turn() -> None:
    event, account = make_event(limit_per_minute=1), make_account()
    for _ in range(5):
        make_request(event, account)
    assert make_request(event, account).next_attempt_at <= timezone.now()


def test_the_api_gives_the_position_in_line() -> None:
    event = make_event(limit_per_minute=1)
    make_request(event)
    browser = Client()
    browser.force_login(make_account())
    for call in ("create-async", "create"):
        path = f"/api/client-auth/guests/{call}"
        response = browser.post(path, {"event_id": event.pk}, content_type="application/json")
        assert response.status_code == 202
        assert response.json()["position"] in {1, 2}
    ticket = response.json()["ticketId"]
    state = browser.get(f"/api/client-auth/guests/requests/{ticket}").json()
    assert state["state"] == "processing"
    assert state["data"]["position"] in {1, 2}


# The challenge ------------------------------------------------------------------------------------


def test_a_solved_challenge_leads_back_to_the_page(settings: Settings) -> None:
    settings.LIMIT_IP, settings.LIMIT_SOLVED = 1, 3
    visitor = Visitor(make_event())
    visitor.look()
    refused = visitor.open("phone")
    assert refused.status_code == 429
    assert 'data-challenge="/challenge/new?for=address"' in html_of(refused)
    back = visitor.step_url("phone")
    assert location_of(solve(visitor.browser, back=back)) == back
    assert [visitor.open("phone").status_code for _ in range(4)] == [200, 200, 200, 429]
    assert Visitor(visitor.event).look().status_code == 429, "the limit of the address stays"


def test_a_phone_past_its_limit_asks_for_a_challenge_of_its_own(settings: Settings) -> None:
    settings.LIMIT_PHONE = 1
    visitor = Visitor(make_event())
    visitor.give_phone()
    assert 'value="phone"' in html_of(visitor.give_phone())
    solve(visitor.browser, "address")
    assert visitor.give_phone().status_code == 429
    solve(visitor.browser, "phone")
    assert visitor.give_phone().status_code == 303
    assert visitor.give_phone().status_code == 429


def test_in_the_dialog_the_challenge_leads_back_to_the_step(settings: Settings) -> None:
    settings.LIMIT_IP = 1
    visitor = Visitor(make_event(), htmx=True)
    visitor.look()
    refused = visitor.open("phone")
    assert refused.status_code == 429
    assert 'id="message"' in html_of(refused)
    response = solve(visitor.browser, back=visitor.step_url("phone"))
    assert location_of(response) == visitor.step_url("phone")
    assert solve(visitor.browser, back=visitor.event_url)["HX-Redirect"] == visitor.event_url


@pytest.mark.parametrize(
    "next_", ["https://evil.example/", "//evil.example", "/\\evil.example", ""]
)
def test_a_solved_challenge_leads_to_no_other_site(next_: str) -> None:
    assert location_of(solve(Client(), back=next_)) == "/promo/"


def test_without_javascript_a_wait_replaces_the_challenge(settings: Settings) -> None:
    settings.LIMIT_IP, settings.CHALLENGE_WAIT, settings.LIMIT_WAITING = 1, 0, 2
    visitor = Visitor(make_event())
    visitor.look()
    assert 'action="/challenge/wait/"' in html_of(visitor.look())
    data = {"for": "address", "next": visitor.event_url}
    shown = html_of(visitor.browser.post("/challenge/wait/", data))
    assert '<meta http-equiv="refresh" content="1;url=/challenge/waited/?' in shown
    url = shown.split("url=")[1].split('"')[0]
    assert location_of(visitor.browser.get(url)) == visitor.event_url
    assert visitor.look().status_code == 200
    assert visitor.browser.get(url).status_code == 422, "a wait counts once"
    assert visitor.browser.post("/challenge/wait/", data).status_code == 200
    another = Client().post("/challenge/wait/", data)
    assert another.status_code == 429, "two browsers wait at this address already"


def test_a_wait_that_is_too_short_does_not_count(settings: Settings) -> None:
    visitor = Visitor(make_event())
    shown = html_of(visitor.browser.post("/challenge/wait/", {"for": "address"}))
    url = shown.split("url=")[1].split('"')[0]
    assert visitor.browser.get(url).status_code == 422
    settings.CHALLENGE_WAIT = 0
    another = Visitor(visitor.event).browser.get(url)
    assert another.status_code == 422, "the wait counts only in its own browser"
    assert visitor.browser.get(url.replace("for=address", "for=phone")).status_code == 422
    assert visitor.browser.get(url).status_code == 303
