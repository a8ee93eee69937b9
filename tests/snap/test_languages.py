"""The language that a browser gets, on pages, in the API, on sockets and in emails."""

import pytest
from django.test import Client

from accounts.models import User
from promo.sockets.handshakes import read_language
from snap.languages import choose_language
from tests.factories import make_event
from tests.helpers.api import REGISTER, post_json
from tests.helpers.visitors import Visitor

PORTUGUESE, ENGLISH = "pt-pt", "en"
BY_HEADER = {
    "": PORTUGUESE,
    "*": PORTUGUESE,
    "pt": PORTUGUESE,
    "pt-PT": PORTUGUESE,
    "pt-BR": PORTUGUESE,
    "pt_PT": PORTUGUESE,
    "PT-ao,pt;q=0.9": PORTUGUESE,
    "en": ENGLISH,
    "en-GB,en;q=0.9": ENGLISH,
    "en-US,pt;q=0.5": ENGLISH,
    "fr": ENGLISH,
    "fr-FR,fr;q=0.9": ENGLISH,
    "fr-FR,fr;q=0.9,pt;q=0.5": PORTUGUESE,
    "de-CH,de;q=0.8,*;q=0.1": ENGLISH,
    "fr,pt;q=0": ENGLISH,
    "es-ES,es;q=0.9,en;q=0.8,pt;q=0.7": ENGLISH,
    "zh-Hant-TW": ENGLISH,
    "x-klingon": ENGLISH,
    "not a header, at all": PORTUGUESE,
    "pt;q=nothing": PORTUGUESE,
}
by_header = pytest.mark.parametrize(("header", "language"), BY_HEADER.items())


@by_header
def test_the_language_of_a_header(header: str, language: str) -> None:
    assert choose_language(cookie="", header=header) == language


@by_header
def test_sockets_have_the_language_of_pages(header: str, language: str) -> None:
    scope = {"headers": [(b"accept-language", header.encode())]}
    assert read_language(scope) == language
    scope = {"headers": [(b"accept-language", header.encode()), (b"cookie", b"language=pt-pt")]}
    assert read_language(scope) == PORTUGUESE


@pytest.mark.parametrize(
    ("cookie", "language"),
    [("pt-pt", PORTUGUESE), ("en", ENGLISH), ("", ENGLISH), ("fr", ENGLISH), ("\x00", ENGLISH)],
)
def test_the_switch_counts_more_than_the_browser(cookie: str, language: str) -> None:
    assert choose_language(cookie=cookie, header="de") == language


@pytest.mark.django_db
@pytest.mark.parametrize("header", ["fr-FR,fr;q=0.9", "de", "en-IE", "pt-BR", ""])
def test_pages_errors_and_the_api_are_in_one_language(header: str) -> None:
    browser = Client(headers={"accept-language": header})
    language = choose_language(cookie="", header=header)
    for path in ["/promo/", f"/promo/{make_event().slug}/", "/promo/nowhere/"]:
        response = browser.get(path)
        assert f'<html lang="{language}"' in response.content.decode()
        assert response["Content-Language"] == language
        assert "Accept-Language" in response["Vary"]
    error = browser.get("/api/nowhere").json()["error"]
    assert (error == "There is no such thing.") is (language == ENGLISH)


@pytest.mark.django_db
@pytest.mark.parametrize(("header", "language"), [("it", ENGLISH), ("pt-AO", PORTUGUESE)])
def test_emails_are_in_the_language_of_a_registration_by_the_api(
    header: str, language: str
) -> None:
    browser = Client(headers={"accept-language": header})
    person = {"firstName": "Inês", "lastName": "Exemplo", "email": "ines@example.com"}
    response = post_json(browser, REGISTER, {"phone": "+351961234567", **person})
    assert response.status_code == 201
    assert User.objects.get().language == language


@pytest.mark.django_db
@pytest.mark.parametrize(("header", "language"), [("fr-CH", ENGLISH), ("pt-BR", PORTUGUESE)])
def test_emails_are_in_the_language_of_the_registration(header: str, language: str) -> None:
    visitor = Visitor(make_event(), language=header)
    visitor.give_phone()
    visitor.register()
    assert User.objects.get().language == language
