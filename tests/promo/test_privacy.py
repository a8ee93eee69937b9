"""The page about personal data, the line that leads to it, and the footer of every page."""

from typing import Any

import pytest
from django.conf import settings as project_settings
from django.test import Client
from pytest_django import Settings

from tests.factories import make_account, make_event, make_guest
from tests.helpers.outages import open_breaker
from tests.helpers.pages import Outline, check_page, in_both_languages
from tests.helpers.visitors import Visitor, html_of

pytestmark = pytest.mark.django_db


@in_both_languages
def test_the_page_is_sound_and_says_the_settings(
    settings: Settings, language: str, django_assert_num_queries: Any
) -> None:
    settings.SUSPICIOUS_DAYS = 17
    settings.LOGIN_CODE_AGE = 13 * 60
    settings.PRIVACY_CONTROLLER = "Noites & Companhia"
    settings.PRIVACY_CONTACT = "Noites <dados@example.com>"
    browser = Client(headers={"accept-language": language})
    with django_assert_num_queries(0):
        response = browser.get("/privacy/")
    check_page(response, language)
    html = html_of(response)
    for word in ["17 d", "13 min", "30 d", "Noites & Companhia", 'href="mailto:dados@example.com"']:
        assert word in html


def test_without_a_contact_the_organiser_is_asked(client: Client) -> None:
    assert project_settings.PRIVACY_CONTACT == ""
    html = html_of(client.get("/privacy/"))
    assert "mailto:" not in html
    assert "organização do evento" in html


def test_the_page_is_there_while_the_database_is_away(client: Client) -> None:
    client.force_login(make_account())
    with open_breaker():
        assert client.get("/privacy/").status_code == 200


@pytest.mark.parametrize("own_page", ["", "https://operator.example/privacy"])
def test_every_page_has_a_footer(settings: Settings, own_page: str) -> None:
    settings.PRIVACY_URL = own_page
    guest = make_guest()
    visitor = Visitor(guest.event)
    paths = ["/promo/", visitor.event_url, visitor.step_url("phone"), "/privacy/", "/promo/no/"]
    paths.append(f"/guest/{guest.qr_token}")
    for path in paths:
        footer = footer_of(html_of(visitor.get(path)))
        links = [link["href"] for link in footer.all("a")]
        assert links == ["/promo/", own_page or "/privacy/"], path
        assert [form["action"] for form in footer.all("form")] == ["/i18n/setlang/"], path
    visitor.signed_in(guest.account)
    for path in paths:
        forms = [form["action"] for form in footer_of(html_of(visitor.get(path))).all("form")]
        # An error page does not ask who is signed in: the database may be its cause.
        expected = ["/i18n/setlang/"] if path == "/promo/no/" else ["/sign-out/", "/i18n/setlang/"]
        assert forms == expected, path


def footer_of(html: str) -> Outline:
    assert html.count("<footer") == 1
    return Outline(html.partition("<footer")[2])


def test_forms_that_ask_for_a_name_say_where_it_goes() -> None:
    event, known = make_event(), make_account()
    for htmx in [True, False]:
        visitor = Visitor(event, htmx=htmx)
        visitor.give_phone()
        visitor.give_phone(known.phone or "")
        visitor.open("code")
        for step in ["register", "claim"]:
            html = html_of(visitor.open(step))
            assert "We keep what you write here" in html, step
            assert 'href="/privacy/"' in html.partition("We keep")[2]


def test_the_page_says_whether_openings_are_recorded(settings: Settings) -> None:
    browser = Client(headers={"accept-language": "en"})
    assert "Whether you open them, and what you tap in them, is not recorded." in html_of(
        browser.get("/privacy/")
    )
    settings.EMAIL_OPEN_TRACKING = True
    assert "whether they arrived and were opened" in html_of(browser.get("/privacy/"))
