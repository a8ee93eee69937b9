"""Error pages: their text is true for the visitor who sees them."""

import json
import re

import pytest
from django.http import HttpResponse
from django.test import Client, RequestFactory

from promo.steps import Step
from snap.error_pages import bad_request, csrf_failure, too_large, unavailable, unsupported
from tests.factories import make_event_promoter
from tests.helpers.visitors import Visitor, html_of


@pytest.mark.parametrize(
    ("method", "text"),
    [("GET", "QR codes that were given are safe"), ("POST", "Nothing was kept")],
)
def test_only_the_503_of_a_form_says_that_nothing_was_kept(
    rf: RequestFactory, method: str, text: str
) -> None:
    english = {"accept-language": "en"}
    response = unavailable(rf.generic(method, "/guest/a-token", headers=english))
    assert response.status_code == 503
    assert int(response["Retry-After"]) > 0
    assert text in response.content.decode()


def test_a_503_after_a_failure_during_the_work_does_not_say_that_nothing_was_kept(
    rf: RequestFactory,
) -> None:
    response = unavailable(rf.post("/", headers={"accept-language": "en"}), is_unsure=True)
    assert "Nothing was kept" not in response.content.decode()
    assert "look before you send it again" in response.content.decode()


@pytest.mark.parametrize(
    ("language", "text"), [("en", "This is too much at once."), ("pt", "demasiado de uma")]
)
def test_an_error_before_the_view_is_json_in_the_language_of_the_request(
    client: Client, language: str, text: str
) -> None:
    response = client.post(
        "/api/client-auth/login",
        "x" * 300_000,
        content_type="application/json",
        headers={"accept-language": language},
    )
    assert (response.status_code, response.json()["code"]) == (413, "too_large")
    assert text in response.json()["error"]


def test_a_call_without_a_csrf_token_gets_a_json_error(rf: RequestFactory) -> None:
    response = csrf_failure(rf.post("/api/client-auth/login"))
    assert response.status_code == 403
    assert json.loads(response.content)["code"] == "csrf"


def way_back_from(response: HttpResponse) -> str:
    found = re.search(r'<a class="button" href="([^"]*)"', response.content.decode())
    assert found
    return found[1]


@pytest.mark.parametrize("step", Step)
@pytest.mark.parametrize("promoter", ["", "marta"])
def test_the_way_back_keeps_event_and_promoter(
    rf: RequestFactory, step: Step, promoter: str
) -> None:
    """Also where the browser sends no Referer."""
    sent = rf.post(f"/promo/festa/{promoter or '-'}/{step}/?s=abc")
    event = f"/promo/festa/{promoter}/".replace("//", "/")
    assert way_back_from(csrf_failure(sent)) == event
    for error in [bad_request, too_large, unsupported]:
        assert way_back_from(error(sent)) == event


@pytest.mark.parametrize(
    ("path", "fields", "headers", "back"),
    [
        ("/sign-out/", {}, {}, "/promo/"),
        ("/promo/", {}, {}, "/promo/"),
        ("/nowhere/", {}, {}, "/promo/"),
        ("/i18n/setlang/", {"next": "/promo/festa/marta/"}, {}, "/promo/festa/marta/"),
        ("/challenge/", {"next": "/promo/festa/marta/phone/"}, {}, "/promo/festa/marta/phone/"),
        ("/i18n/setlang/", {"next": "https://evil.example/"}, {}, "/promo/"),
        ("/i18n/setlang/", {"next": "//evil.example/"}, {}, "/promo/"),
        (
            "/promo/festa/marta/code/",
            {},
            {"referer": "https://evil.example/"},
            "/promo/festa/marta/",
        ),
        (
            "/promo/festa/-/code/",
            {},
            {"referer": "http://testserver/a/?b=1"},
            "http://testserver/a/?b=1",
        ),
    ],
)
def test_an_expired_form_leads_back_to_where_it_was(
    rf: RequestFactory, path: str, fields: dict[str, str], headers: dict[str, str], back: str
) -> None:
    assert way_back_from(csrf_failure(rf.post(path, fields, headers=headers))) == back


@pytest.mark.django_db
@pytest.mark.parametrize("promoter", [True, False])
def test_an_expired_step_keeps_event_and_promoter(*, promoter: bool) -> None:
    """The field with the phone is signed for two hours, and for one browser."""
    link = make_event_promoter()
    code = link.promoter.code if promoter else ""
    visitor = Visitor(link.event, code)
    for step in ["code", "register", "claim"]:
        response = visitor.browser.post(visitor.step_url(step), {"step": "expired"})
        assert response["Location"] == visitor.step_url("phone") + "?again=1"
        assert visitor.step_url("phone") in html_of(visitor.get(response["Location"]))
