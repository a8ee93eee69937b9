"""Error pages: their text is true for the visitor who sees them."""

import json

import pytest
from django.test import Client, RequestFactory

from snap.error_pages import csrf_failure, unavailable


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
