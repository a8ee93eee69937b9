"""The cache of promo links: which queries it saves, and which data it must not share."""

import re
from datetime import timedelta
from time import sleep
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from pytest_django import Settings

from promo.links import open_link
from promo.rendering import CSRF_PLACEHOLDER, shared_pages
from promo.steps import Step
from tests.factories import make_account, make_event, make_event_promoter
from tests.helpers.visitors import signed_step

pytestmark = pytest.mark.django_db

SIGN_OUT = f'action="{reverse("sign_out")}"'
TOKEN = re.compile(r'name="csrfmiddlewaretoken" value="([^"]+)"')


def test_a_cached_link_makes_no_query(settings: Settings, django_assert_num_queries: Any) -> None:
    at_event = make_event_promoter()
    event, promoter = at_event.event, at_event.promoter
    settings.LINK_SECONDS = 60.0
    with django_assert_num_queries(2):
        open_link(event.slug, promoter.code)
    with django_assert_num_queries(0):
        link = open_link(event.slug, promoter.code)
    assert (link.event, link.promoter) == (event, promoter)


def test_templates_can_write_the_url_of_each_step() -> None:
    link = open_link(make_event().slug, "")
    for step in Step:
        assert getattr(link, f"{step}_url") == link.step_url(step)


def test_a_change_of_staff_shows_when_the_link_expires(settings: Settings) -> None:
    settings.LINK_SECONDS = 0.3
    event = make_event(title="Antes")
    open_link(event.slug, "")
    event.title = "Depois"
    event.save()
    assert open_link(event.slug, "").event.title == "Antes"
    sleep(0.3)
    assert open_link(event.slug, "").event.title == "Depois"


def test_a_list_of_a_cached_link_opens_on_time(settings: Settings) -> None:
    settings.LINK_SECONDS = 60.0
    opening = timezone.now() + timedelta(seconds=0.5)
    event = make_event(list_opens_at=opening)
    assert open_link(event.slug, "").event.list_state() == "not_open_yet"
    sleep(0.6)
    assert open_link(event.slug, "").event.list_state() == "open"


def test_a_change_to_a_cached_event_stays_with_its_request(
    settings: Settings,
) -> None:
    settings.LINK_SECONDS = 60.0
    event = make_event(title="Festa")
    open_link(event.slug, "").event.title = "Outra"
    assert open_link(event.slug, "").event.title == "Festa"


def test_visitors_share_a_cached_page_with_tokens_of_their_own(settings: Settings) -> None:
    settings.LINK_SECONDS = 60.0
    address = f"/promo/{make_event(title='Antes').slug}/"
    clients = [Client(enforce_csrf_checks=True) for _ in range(2)]
    first, second = (client.get(address).content.decode() for client in clients)
    assert "Antes" in first
    tokens = [set(TOKEN.findall(page)) for page in (first, second)]
    assert first != second
    assert len(tokens[0] | tokens[1]) == 2
    for client, (token,) in zip(clients, tokens, strict=True):
        form = {"phone": "912 345 678", "country": "PT", "csrfmiddlewaretoken": token}
        assert client.post(f"{address}-/phone/", form).status_code == 303


def test_cached_pages_depend_on_language_query_and_session(
    settings: Settings, client: Client
) -> None:
    settings.LINK_SECONDS = 60.0
    address = f"/promo/{make_event().slug}/"
    assert "Quero entrar na lista" in client.get(address).content.decode()
    in_english = client.get(address, headers={"Accept-Language": "en"}).content.decode()
    assert "I want to be on the list" in in_english
    with_query = client.get(f"{address}?from=poster").content.decode()
    assert f'value="{address}?from=poster"' in with_query
    client.force_login(make_account())
    signed_in = client.get(address).content.decode()
    assert SIGN_OUT in signed_in
    assert 'id="first-step"' not in signed_in
    assert SIGN_OUT not in Client().get(address).content.decode()


def test_a_cached_page_has_nothing_of_its_first_visitor(settings: Settings) -> None:
    settings.LINK_SECONDS = 60.0
    address = f"/promo/{make_event().slug}/"
    first = Client(
        REMOTE_ADDR="198.51.100.77",
        headers={
            "accept-language": "en-ZA",
            "user-agent": "first-visitor-agent",
            "referer": "https://first.example/visitor",
            "host": "first-visitor.localhost",
            "cookie": "campaign=first-visitor-cookie",
        },
    )
    settings.ALLOWED_HOSTS = ["*"]
    shown = first.get(f"{address}?first-visitor-query=1")
    own = ["198.51.100.77", "first-visitor", "first.example", "en-ZA", first.cookies["csrf"].value]
    second = Client(headers={"accept-language": "en", "host": "second.localhost"})
    page = second.get(address).content.decode()
    (drawn,) = shared_pages.values()
    assert [each for each in own if each in page or each in drawn] == []
    assert set(TOKEN.findall(shown.content.decode())).isdisjoint(TOKEN.findall(page))
    in_portuguese = Client(headers={"accept-language": "pt"}).get(address).content.decode()
    assert '<html lang="pt-pt"' in in_portuguese


def test_a_cached_page_expires_with_its_link(settings: Settings, client: Client) -> None:
    settings.LINK_SECONDS = 0.3
    event = make_event(title="Antes")
    assert "Antes" in client.get(f"/promo/{event.slug}/").content.decode()
    event.title = "Depois"
    event.save()
    assert "Antes" in client.get(f"/promo/{event.slug}/").content.decode()
    sleep(0.3)
    assert "Depois" in client.get(f"/promo/{event.slug}/").content.decode()


def test_addresses_with_different_queries_share_a_cached_page(
    settings: Settings, client: Client
) -> None:
    """Social networks add a parameter to each click."""
    settings.LINK_SECONDS = 60.0
    address = f"/promo/{make_event().slug}/"
    for number in range(5):
        client.get(f"{address}?click={number}")
    page = client.get(f'{address}?click="><script>&{CSRF_PLACEHOLDER}').content.decode()
    assert len(shared_pages.values()) == 1
    assert '"><script>' not in page
    assert page.count(CSRF_PLACEHOLDER) == 1  # The visitor's own text; no token replaced it.


def test_the_steps_of_a_new_visitor_make_few_queries(
    settings: Settings, client: Client, django_assert_num_queries: Any
) -> None:
    """Another visitor has opened the link before, so the event is cached."""
    settings.LINK_SECONDS = 60.0
    event = make_event()
    client.get(f"/promo/{event.slug}/")
    form = {"phone": "912 345 678", "country": "PT"}
    names = {"first_name": "Rui", "last_name": "Exemplo", "email": "rui@example.com"}
    with django_assert_num_queries(0):
        client.get(f"/promo/{event.slug}/")
    with django_assert_num_queries(0):
        client.get(f"/promo/{event.slug}/-/phone/")
    with django_assert_num_queries(1):  # It looks up the phone.
        shown = client.post(f"/promo/{event.slug}/-/phone/", form, headers={"HX-Request": "true"})
    names |= signed_step(shown)
    with django_assert_num_queries(9):
        client.post(f"/promo/{event.slug}/-/register/", names, headers={"HX-Request": "true"})
