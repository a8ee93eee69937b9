"""Reports of mail providers. A forged or replayed report changes nothing."""

import hashlib
import hmac
import time
from collections.abc import Callable, Iterator

import httpx
import pytest

from notifications.models import Email
from tests.helpers.stack import Stack, http

pytestmark = pytest.mark.processes

SECRET = ("snap", "a-secret-of-the-webhook")
SIGNING_KEY = "a-key-that-the-provider-signs-with"
ID = "provider-id-1"

Report = Callable[..., int]


@pytest.fixture
def email(stack: Stack) -> Email:
    return make_email(ID)


def make_email(provider_id: str) -> Email:
    return Email.objects.create(
        kind="welcome",
        cause=f"account:{provider_id}",
        to="rita@example.com",
        language="pt",
        state="sent",
        provider_id=provider_id,
    )


@pytest.fixture(scope="module")
def resend(_stack: Stack) -> Iterator[Report]:
    """Report as Resend does, which authenticates with the shared secret only."""

    def report(what: str, auth: tuple[str, str] | None = SECRET, about: str = ID) -> int:
        body = {
            "type": f"email.{what}",
            "created_at": "2026-11-25T09:00:00.000Z",
            "data": {"email_id": about, "to": ["rita@example.com"], "created_at": "2026-11-25"},
        }
        url = f"{web}/webhooks/mail/resend/"
        return http.post(url, json=body, auth=auth or httpx.USE_CLIENT_DEFAULT).status_code

    given = {
        "EMAIL_PROVIDER": "resend",
        "RESEND_API_KEY": "key-for-tests",
        "MAIL_WEBHOOK_SECRET": ":".join(SECRET),
    }
    with _stack.another_web(**given) as web:
        yield report


@pytest.fixture(scope="module")
def mailgun(_stack: Stack) -> Iterator[Report]:
    """Report as Mailgun does, which also signs its reports."""

    def report(what: str, key: str = SIGNING_KEY) -> int:
        stamp, token = str(int(time.time())), "t" * 50
        signed = hmac.new(key.encode(), (stamp + token).encode(), hashlib.sha256).hexdigest()
        body = {
            "signature": {"timestamp": stamp, "token": token, "signature": signed},
            "event-data": {
                "event": what,
                "id": "event-1",
                "timestamp": time.time(),
                "recipient": "rita@example.com",
                "message": {"headers": {"message-id": ID}},
            },
        }
        url = f"{web}/webhooks/mail/mailgun/"
        return http.post(url, json=body, auth=SECRET).status_code

    given = {
        "EMAIL_PROVIDER": "mailgun",
        "MAILGUN_API_KEY": "key-for-tests",
        "MAILGUN_SENDER_DOMAIN": "mail.example",
        "MAIL_WEBHOOK_SECRET": ":".join(SECRET),
        "MAILGUN_WEBHOOK_SIGNING_KEY": SIGNING_KEY,
    }
    with _stack.another_web(**given) as web:
        yield report


def state_of(email: Email) -> str:
    email.refresh_from_db()
    return email.state


def test_reports_move_an_email_forward_and_replayed_ones_never_back(
    email: Email, resend: Report
) -> None:
    """The protection is the list of states that a report may change."""
    assert resend("delivered") == 200
    assert state_of(email) == "delivered"
    assert resend("opened") == 200
    assert state_of(email) == "opened"
    for replayed in ("delivered", "bounced", "opened"):
        assert resend(replayed) == 200
        assert state_of(email) == "opened"
    bounced = make_email("another")
    assert resend("bounced", about="another") == 200
    assert resend("delivered", about="another") == 200
    assert state_of(bounced) == "bounced"
    assert bounced.error.startswith("bounced")
    assert resend("delivered", about="of nobody") == 200


def test_a_forged_report_is_refused(email: Email, resend: Report) -> None:
    for auth in (None, ("snap", "guessed"), ("", "")):
        assert resend("bounced", auth=auth) == 400
    assert state_of(email) == "sent"


def test_a_report_with_a_wrong_signature_is_refused(stack: Stack, mailgun: Report) -> None:
    """The shared secret alone is not enough."""
    email = make_email(f"<{ID}>")
    assert mailgun("failed", key="a guess") == 400
    assert state_of(email) == "sent"
    assert mailgun("delivered") == 200
    assert state_of(email) == "delivered"


def test_without_a_secret_there_is_no_webhook(stack: Stack) -> None:
    assert http.post(f"{stack.url}/webhooks/mail/resend/", json={}).status_code == 404
