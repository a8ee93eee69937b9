"""What a link leads to is remembered for a moment: what that saves, and what it must not do."""

from datetime import timedelta
from time import sleep
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone
from pytest_django import Settings

from promo.links import open_link
from tests.factories import make_event, make_event_promoter

pytestmark = pytest.mark.django_db


def test_a_link_opened_lately_asks_nobody(
    settings: Settings, django_assert_num_queries: Any
) -> None:
    at_event = make_event_promoter()
    event, promoter = at_event.event, at_event.promoter
    with django_assert_num_queries(2):
        open_link(event.slug, promoter.code)
    settings.LINK_SECONDS = 60.0
    with django_assert_num_queries(0):
        link = open_link(event.slug, promoter.code)
    assert (link.event, link.promoter) == (event, promoter)


def test_what_staff_change_shows_when_the_moment_is_over(settings: Settings) -> None:
    settings.LINK_SECONDS = 0.3
    event = make_event(title="Antes")
    open_link(event.slug, "")
    event.title = "Depois"
    event.save()
    assert open_link(event.slug, "").event.title == "Antes"
    sleep(0.3)
    assert open_link(event.slug, "").event.title == "Depois"


def test_a_list_opens_on_time_whatever_is_remembered(settings: Settings) -> None:
    settings.LINK_SECONDS = 60.0
    opening = timezone.now() + timedelta(seconds=0.5)
    event = make_event(list_opens_at=opening)
    assert open_link(event.slug, "").event.list_state() == "not_open_yet"
    sleep(0.6)
    assert open_link(event.slug, "").event.list_state() == "open"


def test_whoever_changes_what_they_were_given_changes_nothing_for_others(
    settings: Settings,
) -> None:
    settings.LINK_SECONDS = 60.0
    event = make_event(title="Festa")
    open_link(event.slug, "").event.title = "Outra"
    assert open_link(event.slug, "").event.title == "Festa"


def test_what_each_step_asks_the_database(
    settings: Settings, client: Client, django_assert_num_queries: Any
) -> None:
    """Of a journey of somebody new, with the link opened by somebody else before."""
    settings.LINK_SECONDS = 60.0
    event = make_event()
    client.get(f"/promo/{event.slug}/")
    form = {"phone": "912 345 678", "country": "PT"}
    names = {"first_name": "Rui", "last_name": "Exemplo", "email": "rui@example.com"}
    with django_assert_num_queries(0):
        client.get(f"/promo/{event.slug}/")
    with django_assert_num_queries(0):
        client.get(f"/promo/{event.slug}/-/phone/")
    with django_assert_num_queries(1):  # Has the phone an account?
        client.post(f"/promo/{event.slug}/-/phone/", form, headers={"HX-Request": "true"})
    with django_assert_num_queries(9):
        client.post(f"/promo/{event.slug}/-/register/", names, headers={"HX-Request": "true"})
