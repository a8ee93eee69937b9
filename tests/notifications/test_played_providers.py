"""The servers that play providers see what is wrong with a request, and fail as they are told."""

import json
from base64 import b64encode
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.helpers.mail_providers import faults
from tests.helpers.mail_providers.faults import Fault
from tests.helpers.mail_providers.mailgun import DOMAIN, Mailgun
from tests.helpers.mail_providers.mailgun import KEY as MAILGUN_KEY
from tests.helpers.mail_providers.resend import KEY as RESEND_KEY
from tests.helpers.mail_providers.resend import Resend
from tests.helpers.mail_providers.sendgrid import KEY as SENDGRID_KEY
from tests.helpers.mail_providers.sendgrid import SendGrid

MESSAGE_ID = "<email.1.1@localhost>"
HEADERS = {"Message-ID": MESSAGE_ID, "Auto-Submitted": "auto-generated"}
PNG = b"\x89PNG\r\n\x1a\n"
GOOD: dict[str, Any] = {
    "from": "SNAP <no-reply@snap.example>",
    "to": ["ana@example.pt"],
    "subject": "Olá",
    "text": "Olá\n",
    "html": '<html><img src="cid:qr.1@localhost"></html>',
    "headers": HEADERS,
    "attachments": [
        {
            "content": b64encode(PNG).decode(),
            "filename": "qr.png",
            "content_type": "image/png",
            "content_id": "qr.1@localhost",
        }
    ],
}


@pytest.fixture
def resend() -> Iterator[Resend]:
    with Resend() as server:
        yield server


def post(resend: Resend, timeout: float = 5, key: str = MESSAGE_ID, **changes: Any) -> Any:
    headers = {"Authorization": f"Bearer {RESEND_KEY}", "Idempotency-Key": key}
    body = {name: value for name, value in (GOOD | changes).items() if value is not None}
    return httpx.post(f"{resend.url}/emails", json=body, headers=headers, timeout=timeout)


def test_a_good_request_is_accepted_and_nothing_is_wrong_with_it(resend: Resend) -> None:
    response = post(resend)
    assert response.json() == {"id": resend.only_email.provider_id}
    assert resend.wrong == []


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"text": None}, "the body has no text text"),
        ({"html": None}, "the body has no text html"),
        ({"subject": None}, "refuses a request: 422"),
        ({"track_opens": True}, "the unknown field track_opens"),
        ({"to": ["ana@example.pt", "rui@example.pt"]}, "2 recipients"),
        ({"headers": {}}, "no Message-ID"),
        ({"headers": HEADERS | {"X-Note": "a\nb"}}, "no line of text"),
        ({"html": "<html></html>"}, "inline"),
        ({"attachments": []}, "inline"),
        ({"attachments": [{"content": "?", "filename": "qr.png"}]}, "not base64"),
        ({"attachments": [{"content": "Zm9v"}]}, "invalid_attachment"),
        ({"tags": [{"name": "kind of email", "value": "qr"}]}, "refuses a request: 422"),
        ({"from": "SNAP"}, "has no address"),
        ({"key": "other"}, "is not the Message-ID"),
    ],
)
def test_a_wrong_field_is_noted(resend: Resend, changes: dict[str, Any], sentence: str) -> None:
    post(resend, **changes)
    assert any(sentence in wrong for wrong in resend.wrong)


def test_an_idempotency_key_accepts_one_copy(resend: Resend) -> None:
    first, second = post(resend), post(resend)
    assert first.json() == second.json()
    other = post(resend, subject="Outro")
    assert (other.status_code, other.json()["name"]) == (409, "invalid_idempotent_request")
    assert resend.copies == {("ana@example.pt", MESSAGE_ID): 1}


@pytest.mark.parametrize("fault", faults.ALL, ids=str)
def test_each_fault_accepts_the_email_or_does_not(resend: Resend, fault: Fault) -> None:
    resend.next_faults.append(fault)
    try:
        status = post(resend, timeout=0.2).status_code
    except httpx.TransportError:
        status = 0
    assert status == fault.status
    assert resend.copies.total() == fault.accepts
    assert resend.played == {fault.name: 1}
    resend.finished(resend.requests[0])
    assert post(resend).status_code == 200
    assert resend.copies.total() == 1


def test_a_provider_that_is_away_refuses_connections_and_comes_back(resend: Resend) -> None:
    with resend.away(), pytest.raises(httpx.ConnectError):
        post(resend)
    assert post(resend).status_code == 200


def test_sendgrid_and_mailgun_see_wrong_requests_as_well() -> None:
    with SendGrid() as sendgrid, Mailgun() as mailgun:
        body = {
            "personalizations": [{"to": [{"email": "ana@example.pt"}]}],
            "from": {"email": "no-reply@snap.example"},
            "subject": "Olá",
            "content": [{"type": "text/html", "value": "<html></html>"}],
        }
        keys = {"Authorization": f"Bearer {SENDGRID_KEY}", "Content-Type": "application/json"}
        url = f"{sendgrid.url}/v3/mail/send"
        refused = httpx.post(url, content=json.dumps(body), headers=keys)
        form = {"from": "no-reply@snap.example", "to": "ana@example.pt", "subject": "Olá"}
        url = f"{mailgun.url}/v3/{DOMAIN}/messages"
        missing = httpx.post(url, data=form, auth=("api", MAILGUN_KEY))
        strange = httpx.post(url, data=form, auth=("api", "another key"))
        assert (refused.status_code, missing.status_code, strange.status_code) == (400, 400, 401)
        assert len(sendgrid.wrong) == 1
        assert len(mailgun.wrong) == 2
