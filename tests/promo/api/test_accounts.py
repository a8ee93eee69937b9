"""Accounts in the API: checking a phone, signing in with a code, registering."""

from typing import Any

import pytest
from django.test import Client

from accounts.models import User
from accounts.services import register
from guests.models import GuestRequest
from notifications.models import Email
from tests.factories import make_account, make_event
from tests.helpers import servers
from tests.helpers.api import CHECK, CREATE, LOGIN, REGISTER
from tests.helpers.visitors import PHONE, last_code

POSTS = [CHECK, LOGIN, REGISTER, CREATE, "/api/client-auth/guests/create-async"]
PERSON = {"firstName": "Inês", "lastName": "Exemplo", "phone": PHONE, "email": "i@example.com"}

pytestmark = pytest.mark.django_db


def post(client: Client, path: str, body: Any) -> Any:
    return client.post(path, body, content_type="application/json")


def assert_error(response: Any, status: int, code: str = "") -> dict[str, Any]:
    body: dict[str, Any] = response.json()
    assert response.status_code == status, body
    assert body["success"] is False
    assert body["error"]
    if code:
        assert body["code"] == code
    assert ("fields" in body) == (status == 400)
    return body


def test_a_check_names_its_source_and_the_owner_sees_their_id(client: Client) -> None:
    account = make_account()
    first = post(client, CHECK, {"phone": account.phone}).json()
    second = post(client, CHECK, {"phone": account.phone}).json()
    assert first == {"success": True, "exists": True, "userId": None, "source": "database"}
    assert second["source"] == "cache"
    client.force_login(account)
    assert post(client, CHECK, {"phone": account.phone}).json()["userId"] == account.pk
    client.force_login(make_account())
    assert post(client, CHECK, {"phone": account.phone}).json()["userId"] is None


def test_the_next_check_knows_a_new_registration(client: Client) -> None:
    assert post(client, CHECK, {"phone": PHONE}).json()["exists"] is False
    register(phone=PHONE, first_name="Rita", last_name="E", email="r@example.com", language="en")
    assert post(client, CHECK, {"phone": PHONE}).json()["exists"] is True


def test_a_phone_that_staff_changed_no_longer_exists(
    client: Client, manager: User, django_capture_on_commit_callbacks: Any
) -> None:
    account = make_account()
    old = account.phone
    post(client, CHECK, {"phone": old})
    client.force_login(manager)
    form = {"phone": PHONE, "first_name": "Rita", "last_name": "E", "language": "en"}
    with django_capture_on_commit_callbacks(execute=True):
        response = client.post(f"/admin/accounts/user/{account.pk}/change/", form)
    assert response.status_code == 302, response.content.decode()
    assert post(client, CHECK, {"phone": old}).json()["exists"] is False


def test_a_code_signs_in(client: Client) -> None:
    account = make_account()
    sent = post(client, LOGIN, {"phone": account.phone})
    assert sent.status_code == 202
    assert sent.json() == {"success": True, "codeSent": True, "channel": "email", "retryAfter": 30}
    digits = last_code(account).digits()
    wrong = f"{(int(digits) + 1) % 1_000_000:06d}"
    refused = post(client, LOGIN, {"phone": account.phone, "code": wrong})
    assert "code" in assert_error(refused, 400, "wrong_code")["fields"]
    stranger = post(Client(), LOGIN, {"phone": account.phone, "code": digits})
    assert_error(stranger, 400, "code_expired")
    response = post(client, LOGIN, {"phone": account.phone, "code": digits})
    assert response.status_code == 200
    assert response.json()["user"] == {
        "id": account.pk,
        "firstName": account.first_name,
        "lastName": account.last_name,
        "phone": account.phone,
        "email": account.email,
    }
    assert client.session["_auth_user_id"] == str(account.pk)


def test_too_many_codes_are_refused_with_a_wait(client: Client) -> None:
    account = make_account()
    for _ in range(6):
        response = post(client, LOGIN, {"phone": account.phone})
    body = assert_error(response, 429, "too_many_codes")
    assert body["retryAfter"] == int(response["Retry-After"])


def test_an_unknown_phone_gets_no_code(client: Client) -> None:
    assert_error(post(client, LOGIN, {"phone": PHONE}), 404, "unknown_phone")


@pytest.mark.parametrize(
    "last_name", [{}, {"lastName": None}, {"lastName": ""}, {"lastName": "  "}]
)
def test_people_with_one_name_register(client: Client, last_name: dict[str, str | None]) -> None:
    body = {**PERSON, "firstName": "Madonna\u200b", "email": "Madonna <m@faß.example>"}
    del body["lastName"]
    response = post(client, REGISTER, body | last_name)
    assert response.status_code == 201, response.json()
    user = response.json()["user"]
    assert (user["firstName"], user["lastName"]) == ("Madonna", "")
    assert user["email"] == "m@faß.example"
    assert User.objects.get().email == "m@xn--fa-hia.example"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("firstName", "\u200b\u200b"),
        ("firstName", "Ana\nRui\nEva"),
        ("firstName", "Ana\ud800"),
        ("firstName", "912345678"),
        ("lastName", "\u3164"),
        ("lastName", "evil.co"),
        ("email", "ana@\u200e"),
        ("email", "ana@ex..example.com"),
        ("email", "josé@example.com"),
        ("phone", "707 200 200"),
        ("phone", "961\x07234567"),
    ],
)
def test_a_field_that_cannot_be_is_refused(client: Client, field: str, value: str) -> None:
    refused = post(client, REGISTER, {**PERSON, field: value})
    assert list(assert_error(refused, 400, "invalid")["fields"]) == [field]
    assert not User.objects.exists()


def test_a_registration_signs_in_and_sends_the_welcome_email(client: Client) -> None:
    response = post(client, REGISTER, PERSON)
    assert response.status_code == 201, response.json()
    account = User.objects.get(phone=PHONE)
    assert response.json()["user"]["id"] == account.pk
    assert Email.objects.filter(kind="welcome", cause=f"account:{account.pk}").exists()
    assert client.session["_auth_user_id"] == str(account.pk)
    assert_error(post(Client(), REGISTER, PERSON), 409, "phone_taken")


def test_events_are_listed_with_their_ids(client: Client) -> None:
    event = make_event()
    make_event(is_published=False)
    response = client.get("/api/events").json()
    (listed,) = response["events"]
    assert listed["id"] == event.pk
    page = client.get(f"/promo/{event.slug}/").content.decode()
    assert f'data-event-id="{event.pk}"' in page


def test_an_account_id_may_be_text_and_must_be_the_callers_own(client: Client) -> None:
    account, event = make_account(), make_event()
    client.force_login(account)
    other = {"event_id": event.pk, "client_user_id": str(account.pk + 1)}
    assert_error(post(client, CREATE, other), 403, "not_yours")
    assert not GuestRequest.objects.exists()
    response = post(client, CREATE, other | {"client_user_id": str(account.pk)})
    assert response.status_code == 200, response.json()
    assert set(response.json()["data"]) == {"id", "qr_code_url", "place", "eventState"}


def test_an_idempotency_key_gives_the_same_response(client: Client) -> None:
    client.force_login(make_account())
    event = make_event()
    responses = []
    for _ in range(2):
        response = client.post(
            CREATE,
            {"event_id": event.pk},
            content_type="application/json",
            headers={"Idempotency-Key": "one"},
        )
        responses.append(response.json()["data"])
    assert responses[0] == responses[1]
    assert GuestRequest.objects.count() == 1


@pytest.mark.parametrize("path", POSTS)
@pytest.mark.parametrize(
    "body",
    [
        "{",
        "[]",
        "null",
        '"text"',
        "[" * 100_000,
        '{"phone": {"a": 1}, "event_id": "x"}',
        '{"phone": "\\u0000", "event_id": ' + "9" * 5000 + "}",
        '{"phone": "\\ud800", "event_id": 1e400}',
        b"\xff\xfe",
    ],
)
def test_a_wrong_body_gets_an_error_of_the_usual_shape(
    client: Client, path: str, body: Any
) -> None:
    client.force_login(make_account())
    assert_error(post(client, path, body), 400, "invalid")


@pytest.mark.parametrize("path", POSTS)
def test_a_wrong_method_type_or_size_gets_an_error_of_the_usual_shape(
    client: Client, path: str
) -> None:
    client.force_login(make_account())
    assert_error(client.get(path), 405, "method_not_allowed")
    assert_error(client.post(path, "a=b", content_type="text/plain"), 415)
    assert_error(post(client, path, '"' + "x" * 1_000_001 + '"'), 413, "too_large")
    assert_error(client.post(path, {"a": "x"}), 415)
    assert_error(client.post(path, {"a": "x" * 1_000_001}), 413, "too_large")
    careful = Client(enforce_csrf_checks=True)
    assert_error(post(careful, path, {}), 403, "csrf")


@pytest.mark.parametrize("path", ["", "nothing", "client-auth/login/", "a/b/c", "a%00b"])
def test_an_unknown_path_gets_an_error_of_the_usual_shape(client: Client, path: str) -> None:
    status = 404
    if "%00" in path:
        status = 400
    for browser in (client, Client(enforce_csrf_checks=True)):
        assert_error(browser.get(f"/api/{path}"), status)
        response = post(browser, f"/api/{path}", {})
        assert_error(response, status)
        assert "Allow" not in response


def test_another_accounts_ticket_is_not_found(client: Client, stranger: User) -> None:
    account, event = make_account(), make_event()
    client.force_login(account)
    ticket = post(client, CREATE + "-async", {"event_id": event.pk}).json()["jobId"]
    path = f"/api/client-auth/guests/requests/{ticket}"
    assert client.get(path).status_code == 200
    client.force_login(stranger)
    assert_error(client.get(path), 404, "not_found")
    assert_error(Client().get(path), 404, "not_found")


def test_a_check_works_without_the_cache(client: Client) -> None:
    account = make_account()
    assert servers.valkey is not None
    servers.valkey.stop()
    response = post(client, CHECK, {"phone": account.phone}).json()
    assert (response["exists"], response["source"]) == (True, "database")


@pytest.mark.parametrize(
    ("email", "suggestion"),
    [("ines@gmial.com", "ines@gmail.com"), ("ines@gmail.com", None), ("ines@example.com", None)],
)
def test_a_mistyped_domain_is_registered_with_a_suggestion(
    client: Client, email: str, suggestion: str | None
) -> None:
    body = {**PERSON, "email": email}
    response = post(client, REGISTER, body)
    assert response.status_code == 201
    assert response.json()["user"]["email"] == email
    assert response.json().get("emailSuggestion") == suggestion
