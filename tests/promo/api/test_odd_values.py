"""Values of headers, bodies and queries that the API refuses or cleans."""

from typing import Any

import pytest
from django.test import Client

from guests.models import GuestRequest
from tests.factories import make_account, make_event
from tests.helpers.visitors import Visitor

API = "/api/client-auth/guests/"


@pytest.mark.django_db
@pytest.mark.parametrize(
    "key", ["x" * 65, "x" * 5000, "a\tb", "a b", "\x1f", "é", "\xff", "\ud83c\udf89", "\x7f"]
)
@pytest.mark.parametrize("call", ["create", "create-async"])
def test_an_idempotency_key_is_checked(call: str, key: str) -> None:
    account, event = make_account(), make_event()
    visitor = Visitor(event).signed_in(account)
    response = visitor.browser.post(
        API + call,
        {"event_id": event.pk},
        content_type="application/json",
        HTTP_IDEMPOTENCY_KEY=key,
    )
    assert response.status_code == 400
    body = response.json()
    assert (body["success"], body["code"], list(body["fields"])) == (
        False,
        "invalid",
        ["Idempotency-Key"],
    )
    assert not GuestRequest.objects.exists()


@pytest.mark.django_db
def test_a_key_of_64_characters_is_accepted() -> None:
    event = make_event()
    visitor = Visitor(event).signed_in(make_account())
    for _ in range(2):
        response = visitor.browser.post(
            API + "create-async",
            {"event_id": event.pk},
            content_type="application/json",
            HTTP_IDEMPOTENCY_KEY="~" * 64,
        )
        assert response.status_code in {200, 202}
    assert GuestRequest.objects.get().idempotency_key == "~" * 64


@pytest.mark.django_db
@pytest.mark.parametrize(
    "name",
    [
        "http://evil.example",
        "Ana www.evil.example",
        "🎉",
        "<b>Ana</b>",
        "Ana\r\nBcc: x",
        "=1+1",
        "x" * 122,
        "\ud800",
        "\u202e\u202d",
        "\u200b\u200b",
        "\u3164\u2800",
        "Ana\nRui\nEva",
        "Ana\ue000",
        "\u0301a",
        "912 345 678",
        "1\x00",
        None,
        ["Ana"],
        {"a": 1},
        True,
    ],
)
def test_a_name_in_a_create_call_is_cleaned_as_at_registration(name: Any) -> None:
    event = make_event()
    visitor = Visitor(event).signed_in(make_account())
    response = visitor.browser.post(
        API + "create", {"event_id": event.pk, "name": name}, content_type="application/json"
    )
    assert response.status_code == 400, response.json()
    assert list(response.json()["fields"]) == ["name"]
    assert not GuestRequest.objects.exists()


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("  Ana \u200e  Luísa ", "Ana Luísa"),
        ("Ine\u0302s d'Exemplo-Silva", "Inês d'Exemplo-Silva"),
        ("A" * 60 + " " + "B" * 60, "A" * 60 + " " + "B" * 60),
        ("D´Almeida–King, Jr.", "D´Almeida–King, Jr."),
        ("Ana\u200dB\u2028", "AnaB"),
        ("", "Rita"),
        ("   ", "Rita"),
    ],
)
def test_a_name_in_a_create_call_is_kept_as_people_write_it(name: str, kept: str) -> None:
    event = make_event()
    visitor = Visitor(event).signed_in(make_account(last_name=""))
    visitor.browser.post(
        API + "create-async", {"event_id": event.pk, "name": name}, content_type="application/json"
    )
    assert GuestRequest.objects.get().name == kept


@pytest.mark.parametrize(
    "query",
    [
        "version=%0a",
        "version=2",
        "version=%0d%0aX:1",
        "lang=%0a",
        "lang=xx",
        "lang=../../etc",
        "lang=" + "x" * 600,
        "format=xml",
        "format=%0a",
        "version=%ff",
        "lang=%00",
    ],
)
@pytest.mark.django_db
def test_the_query_of_the_schema_is_checked(client: Client, query: str) -> None:
    assert 400 <= client.get(f"/api/schema/?{query}").status_code < 500
    assert client.get("/api/schema/?lang=en&version=1&format=json").status_code == 200
