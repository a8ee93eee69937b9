"""Each error that a guest or a client of the API can cause is in our own words, in both languages.

A new form, serializer, field or validator is found by itself. A text of Django or REST framework
that fails here gets its words in snap/locale, in `pt_PT` and in `en`.
"""

from collections.abc import Iterator
from typing import Any

import pytest
from django import forms
from django.contrib.admin.helpers import ActionForm
from django.core.files.uploadedfile import SimpleUploadedFile, UploadedFile
from django.test import Client
from django.utils import translation
from django.utils.datastructures import MultiValueDict
from rest_framework import exceptions, serializers

from accounts import forms as account_forms
from guests.refusals import visitor_refusals
from promo.api.serializers import ResponseSerializer
from tests.helpers.api import CHECK, CREATE, LOGIN, REGISTER
from tests.helpers.own_texts import FORMAL, is_own, own_texts

in_each_language = pytest.mark.parametrize("language", ["pt-pt", "en"])

BAD_TEXTS = [
    "",
    " ",
    "\0",
    "1",
    "x" * 5000,
    "nobody",
    "a@localhost",
    "a@[127.0.0.1]",
    "a@b..example",
    "\u202e",
    "🎉",
    "\ud800",
    "<b>https://evil.example</b>",
    "760 123 456",
    "Ana\nBcc: x",
]
BAD_VALUES = [*BAD_TEXTS, None, True, 0, -1, 1.5, 10**30, [], ["a"], {}, {"a": 1}]


def guest_forms() -> list[type[forms.Form]]:
    """Return the forms of accounts, guests and promo that are not for admin."""
    found = []
    for each in _subclasses(forms.Form):
        app = each.__module__.partition(".")[0]
        is_admin = ".admin" in each.__module__ or issubclass(each, ActionForm)
        if app in {"accounts", "guests", "promo"} and not is_admin:
            found.append(each)
    return sorted(found, key=lambda each: each.__name__)


def request_serializers() -> list[type[serializers.Serializer[Any]]]:
    """Return the serializers of the bodies that the API takes."""
    found = []
    for each in _subclasses(serializers.Serializer):
        name = each.__name__
        is_body = each.__module__ == "promo.api.serializers" and "Data" not in name
        if is_body and not issubclass(each, ResponseSerializer):
            found.append(each)
    return sorted(found, key=lambda each: each.__name__)


def _subclasses(base: Any) -> Iterator[Any]:
    for each in base.__subclasses__():
        yield each
        yield from _subclasses(each)


def assert_own(texts: Any, language: str) -> None:
    """Check texts, in lists or by field, as forms and the API return them."""
    if isinstance(texts, dict):
        texts = list(texts.values())
    if isinstance(texts, (list, tuple)):
        for each in texts:
            assert_own(each, language)
        return
    assert is_own(str(texts), language), texts
    assert language == "en" or not FORMAL.search(str(texts)), texts


def test_the_forms_and_serializers_are_found() -> None:
    assert {account_forms.PhoneForm, account_forms.RegisterForm, account_forms.CodeForm} <= set(
        guest_forms()
    )
    names = {each.__name__ for each in request_serializers()}
    assert {"PhoneSerializer", "LoginSerializer", "RegisterSerializer", "PlaceSerializer"} <= names


@in_each_language
def test_each_error_of_a_form_is_ours(language: str) -> None:
    with translation.override(language):
        for form_class in guest_forms():
            for name, field in form_class.base_fields.items():
                assert_own(list(field.error_messages.values()), language)
                for bad in BAD_TEXTS:
                    assert_own(dict(form_class({name: bad}).errors), language)
                file = SimpleUploadedFile("a.txt", b"x")
                files: MultiValueDict[str, UploadedFile[Any]] = MultiValueDict({name: [file]})
                assert_own(dict(form_class({}, files).errors), language)


@in_each_language
def test_each_error_of_a_serializer_is_ours(language: str) -> None:
    with translation.override(language):
        for serializer_class in request_serializers():
            fields = serializer_class().fields
            for bad_body in [[], "text", 5, True]:
                assert_own(errors_of(serializer_class, bad_body), language)
            for name, field in fields.items():
                assert_own(list(field.error_messages.values()), language)
                for bad in BAD_VALUES:
                    assert_own(errors_of(serializer_class, {name: bad}), language)


def errors_of(serializer_class: type[serializers.Serializer[Any]], body: Any) -> Any:
    serializer = serializer_class(data=body)
    serializer.is_valid()
    return serializer.errors


@in_each_language
def test_each_exception_of_the_api_is_ours(language: str) -> None:
    with translation.override(language):
        for each in _subclasses(exceptions.APIException):
            assert_own(str(each.default_detail), language)


@in_each_language
def test_each_refusal_is_ours(language: str) -> None:
    with translation.override(language):
        for refusal in visitor_refusals():
            texts = [refusal.text, refusal.hint, refusal.ticket_hint]
            if refusal.ticket_heading is not None:
                texts.append(refusal.ticket_heading)
            assert_own(list(map(str, texts)), language)


CALLS: list[tuple[str, str, dict[str, Any]]] = [
    ("post", CREATE, {"data": {}, "content_type": "application/json"}),
    ("post", CHECK, {"data": "{", "content_type": "application/json"}),
    ("post", CHECK, {"data": "\xff", "content_type": "application/json"}),
    ("post", CHECK, {"data": "[1]", "content_type": "application/json"}),
    ("post", CHECK, {"data": '{"phone": NaN}', "content_type": "application/json"}),
    ("post", CHECK, {"data": "null", "content_type": "application/json"}),
    ("post", CHECK, {"data": {"phone": "1"}}),
    ("post", CHECK, {"data": "x", "content_type": "text/plain"}),
    ("post", REGISTER, {"data": {}, "content_type": "application/json"}),
    ("post", LOGIN, {"data": {"phone": "1"}, "content_type": "application/json"}),
    ("post", LOGIN, {"data": "x" * 300_000, "content_type": "application/json"}),
    ("get", CHECK, {}),
    ("delete", REGISTER, {}),
    ("get", "/api/nowhere", {}),
    ("get", "/api/events", {"headers": {"accept": "image/png"}}),
    ("get", "/api/client-auth/guests/requests/nonsense", {}),
]


@pytest.mark.django_db
@in_each_language
@pytest.mark.parametrize(("method", "path", "given"), CALLS)
def test_each_error_of_a_call_is_ours(
    method: str, path: str, given: dict[str, Any], language: str
) -> None:
    browser = Client(headers={"accept-language": language})
    response = getattr(browser, method)(path, **given)
    body = response.json()
    assert body["success"] is False
    assert_own([body["error"], body.get("fields", {})], language)


@pytest.mark.django_db
@in_each_language
def test_a_call_without_a_token_is_told_so_in_our_words(language: str) -> None:
    browser = Client(enforce_csrf_checks=True, headers={"accept-language": language})
    response = browser.post(CHECK, {"phone": "1"}, content_type="application/json")
    assert (response.status_code, response.json()["code"]) == (403, "csrf")
    assert_own(response.json()["error"], language)


def test_our_portuguese_says_tu() -> None:
    formal = [text for text in own_texts("pt-pt") if FORMAL.search(text)]
    assert formal == []
