"""Promo links as people type and share them, and links of promoters who are not at the event."""

import logging
from time import sleep
from typing import Any
from urllib.parse import quote

import pytest
from django.test import Client
from pytest_django import Settings

from guests.models import EventPromoter, GuestRequest
from promo.links import MAX_LOGGED_CODES, open_link
from promo.untidy_links import tidy_path
from tests.factories import make_event, make_event_promoter, make_promoter
from tests.helpers.visitors import signed_step

TICKET = "5a0a2b9e-8f3b-4f65-9a57-6f1a3f1d2c11"
PERSON = {"first_name": "Rui", "last_name": "Exemplo", "email": "rui@example.com"}
PHONE = {"country": "PT", "phone": "920 999 999"}

UNTIDY = {
    "/promo": "/promo/",
    "/Promo/": "/promo/",
    "/PROMO/FESTA": "/promo/festa/",
    "/promo/festa": "/promo/festa/",
    "/promo/Festa/": "/promo/festa/",
    "/promo/festa/Ana/": "/promo/festa/ana/",
    "/promo/FESTA/ANA": "/promo/festa/ana/",
    "/promo/festa/ana.": "/promo/festa/ana/",
    "/promo/festa/ana/.": "/promo/festa/ana/",
    "/promo/festa/ana,": "/promo/festa/ana/",
    "/promo/festa/ana/)": "/promo/festa/ana/",
    "/promo/festa/ana!!!": "/promo/festa/ana/",
    "/promo/festa/ana…": "/promo/festa/ana/",
    "/promo/festa/“ana”": "/promo/festa/ana/",
    "/promo/«festa»/<ana>": "/promo/festa/ana/",
    "/promo/*festa*/_ana_/": "/promo/festa/ana/",
    "/promo/festa/ana/🎉": "/promo/festa/ana/",
    "/promo/festa/ana🎉🎉": "/promo/festa/ana/",
    "/promo/festa/ana ": "/promo/festa/ana/",
    "/promo/festa/%20ana%20": "/promo/festa/ana/",
    "/promo/ festa /ana/": "/promo/festa/ana/",
    "/promo/festa/ana\u00a0/": "/promo/festa/ana/",
    "/promo/festa/a\u200bna\ufeff": "/promo/festa/ana/",
    "/promo/festa/\u200eana": "/promo/festa/ana/",
    "/promo//festa//ana//": "/promo/festa/ana/",
    "/promo/noite\u2013longa/": "/promo/noite-longa/",
    "/promo/noite\u2011longa/": "/promo/noite-longa/",
    "/promo/noite longa/": "/promo/noite-longa/",
    "/promo/São-João/": "/promo/sao-joao/",
    "/promo/ＦＥＳＴＡ/": "/promo/festa/",
    "/promo/\u202e\u200f/": "/promo/",
    "/promo/.": "/promo/",
    "/promo/festa/\ufffd/": "/promo/festa/",
    "/promo/noite_longa/ana_sa/": "/promo/noite-longa/ana-sa/",
    "/promo/festa?fbclid=x": "/promo/festa/",
    "/promo/festa/ana?fbclid=x/y": "/promo/festa/ana/",
    "/promo/festa/ana&utm_source=x": "/promo/festa/ana/",
    "/promo/festa/ana;x": "/promo/festa/ana/",
    # Codes that nobody can have, and what people write behind a link.
    "/promo/festa/d'ana/": "/promo/festa/d-ana/",
    "/promo/festa/a.na": "/promo/festa/a-na/",
    "/promo/festa/安娜/": "/promo/festa/",
    "/promo/festa/" + "a" * 41 + "/": "/promo/festa/" + "a" * 40 + "/",
    "/promo/festa/ana/nothing/": "/promo/festa/ana/",
    "/promo/festa/ana/(convite)": "/promo/festa/ana/",
    "/promo/festa/ana/phone/more/": "/promo/festa/ana/",
    "/promo/festa/-ana/phone/": "/promo/festa/ana/phone/",
    "/promo/Festa/Ana/Phone": "/promo/festa/ana/phone/",
    "/promo/Festa/-/register/": "/promo/festa/-/register/",
    "/promo/Festa/\u2014/register/": "/promo/festa/-/register/",
    "/promo/Festa/Calendar.ics": "/promo/festa/calendar.ics",
    "/promo/festa/calendar.ics.": "/promo/festa/calendar.ics",
    f"/promo/Festa/ticket/{TICKET.upper()}": f"/promo/festa/ticket/{TICKET}/",
}
MEANS_NOTHING = [
    "/promo/fes!ta!a/",
    "/promo/fes!ta!a/",
    "/promo/f" + "a" * 500,
    "/promo/festa/ticket/not-one/",
    "/promo/festa/🎉/phone/",
    "/promo/🎉/",
    "/promo/" + "a" * 61 + "/",
]


@pytest.mark.parametrize(("path", "expected"), UNTIDY.items())
def test_an_untidy_link_is_redirected_once_with_its_query(
    client: Client, path: str, expected: str
) -> None:
    response = client.get(quote(path) + "?s=A-b_c&utm=%C3%A1")
    assert response.status_code == 302
    assert response.headers["Location"] == f"{expected}?s=A-b_c&utm=%C3%A1"
    assert "no-store" in response.headers["Cache-Control"]
    assert tidy_path(expected) == expected  # A second redirect would lead to the same page.


@pytest.mark.django_db
@pytest.mark.parametrize("path", MEANS_NOTHING)
def test_what_means_no_page_is_not_found(client: Client, path: str) -> None:
    response = client.get(quote(path))
    assert response.status_code == 404
    assert 'href="/promo/"' in response.content.decode()


def test_a_redirect_never_leaves_the_site() -> None:
    for path in ("//evil.example/promo/x", "/promo//evil.example", "/promo/\\evil.example/"):
        tidied = tidy_path(path) or "/promo/"
        assert tidied.startswith("/promo/")
        assert "//" not in tidied


@pytest.mark.django_db
def test_an_unknown_event_is_not_found_with_the_way_to_all_events(client: Client) -> None:
    for path in ("/promo/nothing/", "/promo/nothing/ana/", "/promo/nothing/ana/phone/"):
        response = client.get(path)
        assert response.status_code == 404
        assert 'href="/promo/"' in response.content.decode()


@pytest.mark.django_db
def test_an_unknown_promoter_is_logged_once(
    client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    event = make_event()
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            assert client.get(f"/promo/{event.slug}/anna/").status_code == 200
    logged = [each for each in caplog.records if each.msg == "promo_link_unknown_promoter"]
    assert [(each.event, each.code) for each in logged] == [(event.slug, "anna")]  # type: ignore[attr-defined]


@pytest.mark.django_db
def test_a_form_goes_on_when_its_promoter_leaves_the_event_meanwhile(client: Client) -> None:
    works = make_event_promoter()
    steps = f"/promo/{works.event.slug}/{works.promoter.code}"
    shown = client.post(f"{steps}/phone/", PHONE, headers={"HX-Request": "true"})
    EventPromoter.objects.all().delete()
    form = PERSON | signed_step(shown)
    response = client.post(f"{steps}/register/", form, headers={"HX-Request": "true"})
    assert response.status_code == 200
    assert GuestRequest.objects.get().promoter is None


@pytest.mark.django_db
def test_made_up_codes_cost_no_query_and_remove_no_link(
    settings: Settings, django_assert_num_queries: Any, caplog: pytest.LogCaptureFixture
) -> None:
    settings.LINK_SECONDS = 60.0
    works = make_event_promoter()
    slug, code = works.event.slug, works.promoter.code
    open_link(slug, code)
    open_link(slug, "made-up")
    with django_assert_num_queries(0):
        for number in range(1500):
            assert open_link(slug, f"made-up-{number}").promoter is None
        assert open_link(slug, code).promoter == works.promoter
    logged = [each for each in caplog.records if each.msg == "promo_link_unknown_promoter"]
    assert len(logged) == MAX_LOGGED_CODES


@pytest.mark.django_db
def test_a_promoter_who_joins_after_an_unknown_code_is_found(settings: Settings) -> None:
    settings.LINK_SECONDS = 0.3
    event, promoter = make_event(), make_promoter()
    assert open_link(event.slug, promoter.code).promoter is None
    make_event_promoter(event, promoter=promoter)
    assert open_link(event.slug, promoter.code).promoter is None
    sleep(0.3)
    assert open_link(event.slug, promoter.code).promoter == promoter
