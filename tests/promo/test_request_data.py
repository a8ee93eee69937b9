"""Limits and views read the same phone from a request, whatever its spelling and type."""

import json
from typing import Any

import pytest
from django.test import Client, RequestFactory
from pytest_django import Settings
from rest_framework import serializers as drf

from promo.api import serializers
from snap.wsgi import application
from tests.factories import make_account, make_event
from tests.helpers.api import CHECK, CREATE_ASYNC, LOGIN, REGISTER
from tests.helpers.visitors import Response, Visitor, rows

pytestmark = pytest.mark.django_db

JSON = "application/json"
FORM = "application/x-www-form-urlencoded"

# Spellings of +351 961 234 567 that keyboards, contacts and scripts produce.
SPELLINGS = [
    "+351961234567",
    "961234567",
    "961 234 567",
    "  961-234-567  ",
    "00351 961 234 567",
    "\u202a+351 961 234 567\u202c",
    "٩٦١٢٣٤٥٦٧",
    "９６１２３４５６７",
    "(961) 234.567",
    "＋351 961 234 567",
    " " * 20 + "961234567",
]


def send(path: str, body: bytes | str, content_type: str = JSON) -> Response:
    return Client().generic("POST", path, body, content_type)


# Spellings ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", [CHECK, LOGIN, REGISTER])
def test_each_spelling_counts_for_the_same_phone_and_block(settings: Settings, path: str) -> None:
    """The first spelling uses up the limit of one, and a limit of none refuses all of them."""
    person = {"firstName": "Rui", "lastName": "Exemplo", "email": "rui@example.com"}
    for first in SPELLINGS:
        settings.LIMIT_PHONE, settings.LIMIT_PHONES_BLOCK = 1_000_000, 1
        if path != REGISTER:
            assert send(path, json.dumps({**person, "phone": first})).status_code != 429, first
    assert send(path, json.dumps({**person, "phone": "961 234 568"})).status_code == (
        429 if path != REGISTER else 201
    )
    settings.LIMIT_PHONE = 0
    statuses = [send(path, json.dumps({**person, "phone": each})).status_code for each in SPELLINGS]
    assert statuses == [429] * len(SPELLINGS)


@pytest.mark.parametrize("country", ["PT", "PT ", " PT", "\tPT", "PT\n"])
def test_limits_and_form_read_a_country_alike(settings: Settings, country: str) -> None:
    settings.LIMIT_PHONE = 1
    event = make_event()
    assert Visitor(event).give_phone("961234567", "PT").status_code == 303
    assert Visitor(event).give_phone("961234567", country).status_code == 429


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_limits_and_form_read_each_spelling_alike(settings: Settings, spelling: str) -> None:
    settings.LIMIT_PHONE = 1
    event = make_event()
    assert Visitor(event).give_phone(spelling).status_code == 303
    assert Visitor(event).give_phone().status_code == 429


# Content types ------------------------------------------------------------------------------------

PHONE = json.dumps({"phone": "+351961234567"})


@pytest.mark.parametrize("path", [CHECK, LOGIN, REGISTER, CREATE_ASYNC])
@pytest.mark.parametrize(
    "content_type",
    [
        "*/*",
        "application/*",
        "text/json",
        "application/json; charset=cp037",
        "application/json; charset=utf-16",
        "application/json; charset=latin-1",
        "application/json; charset=hex",
        "application/json; charset=no-such-thing",
        FORM,
        "",
    ],
)
def test_a_call_accepts_only_json_in_utf8(path: str, content_type: str) -> None:
    charset = content_type.partition("charset=")[2]
    body = PHONE.encode("cp037") if charset == "cp037" else PHONE.encode()
    client = Client()
    client.force_login(make_account())
    assert client.generic("POST", path, body, content_type).status_code == 415


@pytest.mark.parametrize(
    "content_type", [JSON, "Application/JSON", "application/json; charset=UTF-8", f"{JSON};v=1"]
)
def test_every_name_of_json_in_utf8_is_accepted(content_type: str) -> None:
    assert send(CHECK, PHONE, content_type).status_code == 200


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xff\xfe",
        PHONE.encode("utf-16"),
        b"\xef\xbb\xbf" + PHONE.encode(),
        b"[" * 100_000,
        b'{"phone":' * 5_000 + b"1" + b"}" * 5_000,
        b'{"phone": NaN}',
        b'{"phone": Infinity}',
        b'{"phone": ' + b"9" * 5_000 + b"}",
        b'{"phone": "+351961234567"} x',
        b"null",
        b"[]",
        b'"+351961234567"',
        b"961234567",
        b'{"phone": "\\ud800"}',
    ],
    ids=lambda body: repr(body)[:24],
)
def test_a_body_that_is_no_json_object_is_refused(body: bytes) -> None:
    response = send(CHECK, body)
    assert response.status_code == 400
    assert response.json()["code"] == "invalid"


def call_application(method: str, path: str, content_type: str) -> tuple[int, bytes]:
    """Call the WSGI application, because Django's test client skips the code before Django."""
    made = RequestFactory().generic(method, path, b"phone=961234567", "text/plain")
    environ: dict[str, Any] = {**made.environ, "CONTENT_TYPE": content_type}
    status: list[str] = []
    body = b"".join(application(environ, lambda line, headers: status.append(line)))
    environ["wsgi.input"].close()
    return int(status[0].split()[0]), body


@pytest.mark.parametrize(
    "parameters",
    [
        "charset=cp037",
        "charset=utf-16",
        "charset=utf-7",
        "charset=hex",
        "charset=zlib",
        "charset=idna",
        "charset=rot13",
        "charset=undefined",
        "charset*=hex''%41",
        "a*=no-such-thing''%41",
    ],
    ids=lambda text: text[:20],
)
@pytest.mark.parametrize("kind", [FORM, "multipart/form-data; boundary=x", "text/plain", JSON])
def test_pages_accept_only_utf8(parameters: str, kind: str) -> None:
    event = make_event()
    requests = [
        ("POST", f"/promo/{event.slug}/-/phone/"),
        ("GET", "/challenge/?for=a"),
        ("GET", "/"),
    ]
    for method, path in requests:
        status, body = call_application(method, path, f"{kind}; {parameters}")
        assert status == 415, method
        assert b"<h1" in body
    status, body = call_application("POST", CHECK, f"{kind}; {parameters}")
    assert status == 415
    assert json.loads(body)["code"] == "unsupported_media_type"


# Types --------------------------------------------------------------------------------------------

KINDS = {
    CHECK: serializers.PhoneSerializer,
    LOGIN: serializers.LoginSerializer,
    REGISTER: serializers.RegisterSerializer,
    CREATE_ASYNC: serializers.PlaceSerializer,
}
GOOD: dict[str, Any] = {
    "phone": "+351961234567",
    "code": "123456",
    "firstName": "Rui",
    "lastName": "Exemplo",
    "email": "rui@example.com",
    "event_id": 1,
    "promoter_id": 1,
    "team_id": 1,
    "name": "Rui Exemplo",
    "client_user_id": "",
}
NO_TEXT = [961234567, 7, 1.0, True, False, ["961234567"], {"a": "b"}, None]
NO_NUMBER = ["1", " 1", "1.0", "", True, 1.0, 1.5, 1e3, [1], {"a": 1}, None]


def wrong_values() -> list[Any]:
    """Return every field of every serializer with every value of another type."""
    found = []
    for path, kind in KINDS.items():
        for name, field in kind().fields.items():
            is_number = isinstance(field, drf.IntegerField)
            for value in NO_NUMBER if is_number else NO_TEXT:
                allowed = (value is None and field.allow_null) or (
                    name == "client_user_id" and type(value) is int
                )
                if not allowed:
                    found.append(pytest.param(path, name, value, id=f"{path[-8:]} {name} {value}"))
    return found


@pytest.mark.parametrize(("path", "name", "value"), wrong_values())
def test_a_value_of_another_type_is_refused(path: str, name: str, value: object) -> None:
    client = Client()
    client.force_login(make_account())
    before = rows()
    fields = {str(each): GOOD[str(each)] for each in KINDS[path]().fields}
    response = client.post(path, json.dumps({**fields, name: value}), content_type=JSON)
    assert response.status_code == 400
    assert list(response.json()["fields"]) == [name]
    assert rows() == before


def test_the_id_of_the_callers_account_is_accepted() -> None:
    account, event = make_account(), make_event()
    client = Client()
    client.force_login(account)
    body = {"event_id": event.pk, "client_user_id": account.pk}
    assert client.post(CREATE_ASYNC, body, content_type=JSON).status_code == 202
    body = {"event_id": event.pk, "client_user_id": account.pk + 1}
    assert client.post(CREATE_ASYNC, body, content_type=JSON).json()["code"] == "not_yours"
