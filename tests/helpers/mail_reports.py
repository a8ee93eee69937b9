"""Reports of mail providers, written from their documentation and signed as they sign."""

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from types import ModuleType
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from django.test import Client, override_settings
from pytest_django import Settings

from notifications.models import Email
from notifications.references import Reference
from notifications.webhooks import webhook_paths
from snap import urls
from snap.environment.emails import SIGNED_WITH

PROVIDERS = ("resend", "sendgrid", "mailgun")
SECRET = "snap:a-secret-of-the-webhook"
RESEND_KEY = b"a key of twenty-four byte"
MAILGUN_KEY = "a-key-that-the-provider-signs-with"
SENDGRID_KEY = ec.generate_private_key(ec.SECP256R1())
ANOTHER_SENDGRID_KEY = ec.generate_private_key(ec.SECP256R1())


def public_part(key: ec.EllipticCurvePrivateKey) -> str:
    """Return a public key as SendGrid shows it."""
    der = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return base64.b64encode(der).decode()


# The settings with which SNAP checks the signatures of this module.
SIGNERS = {
    "RESEND_SIGNING_SECRET": "whsec_" + base64.b64encode(RESEND_KEY).decode(),
    "SENDGRID_TRACKING_WEBHOOK_VERIFICATION_KEY": public_part(SENDGRID_KEY),
    "MAILGUN_WEBHOOK_SIGNING_KEY": MAILGUN_KEY,
}

# What happened, as each provider names it.
NAMES = {
    "resend": {
        "accepted": "email.sent",
        "deferred": "email.delivery_delayed",
        "delivered": "email.delivered",
        "opened": "email.opened",
        "bounced": "email.bounced",
        "complained": "email.complained",
    },
    "sendgrid": {
        "accepted": "processed",
        "deferred": "deferred",
        "delivered": "delivered",
        "opened": "open",
        "bounced": "bounce",
        "complained": "spamreport",
    },
    "mailgun": {
        "accepted": "accepted",
        "deferred": "failed",
        "delivered": "delivered",
        "opened": "opened",
        "bounced": "failed",
        "complained": "complained",
    },
}


@dataclass(frozen=True)
class Happened:
    """What a provider reports of one email. `text` is what the mail server answered."""

    what: str
    provider_id: str = ""
    reference: str = ""
    at: datetime | None = None
    text: str = "550 5.1.1 The email account that you tried to reach does not exist"

    @property
    def moment(self) -> datetime:
        return self.at or datetime.now(UTC)


def happened(what: str, email: Email, **values: Any) -> Happened:
    """Return what happened to the present sending of an email."""
    reference = str(Reference.of(email.pk, email.queued_at))
    return Happened(what, **{"provider_id": email.provider_id, "reference": reference} | values)


def body_of(provider: str, *events: Happened) -> Any:
    """Return the body of one report. Only SendGrid reports several events at once."""
    if provider == "sendgrid":
        return [_sendgrid_event(event) for event in events]
    (event,) = events
    return {"resend": _resend_event, "mailgun": _mailgun_event}[provider](event)


def _resend_event(event: Happened) -> Any:
    data: dict[str, Any] = {
        "created_at": "2026-11-27T21:00:00.000Z",
        "email_id": event.provider_id,
        "from": "SNAP <no-reply@snap.example>",
        "to": ["rita@example.com"],
        "subject": "O teu QR code",
        "tags": {"snap_email": event.reference},
    }
    if event.what == "bounced":
        data["bounce"] = {
            "diagnosticCode": [event.text],
            "message": "The recipient's email provider sent a hard bounce message.",
            "subType": "General",
            "type": "Permanent",
        }
    return {
        "type": NAMES["resend"][event.what],
        "created_at": event.moment.isoformat().replace("+00:00", "Z"),
        "data": data,
    }


def _sendgrid_event(event: Happened) -> Any:
    found: dict[str, Any] = {
        "email": "rita@example.com",
        "timestamp": event.moment.timestamp(),
        "smtp-id": "<14c5d75ce93.dfd.64b469@ismtpd-555>",
        "event": NAMES["sendgrid"][event.what],
        "category": ["qr_code"],
        "sg_event_id": "ZGVsaXZlcmVk",
        "sg_message_id": "14c5d75ce93.dfd.64b469.filter0001.16648.5515E0B88.0",
        "anymail_id": event.provider_id,
        "snap_email": event.reference,
    }
    if event.what == "bounced":
        found |= {"reason": event.text, "status": event.text[4:9], "type": "bounce"}
    elif event.what in {"delivered", "deferred"}:
        found["response"] = event.text if event.what == "deferred" else "250 OK"
    return found


def _mailgun_event(event: Happened) -> Any:
    data: dict[str, Any] = {
        "event": NAMES["mailgun"][event.what],
        "id": "G9Bn5sl1TC6nu79C8C0bwg",
        "timestamp": event.moment.timestamp(),
        "recipient": "rita@example.com",
        "message": {"headers": {"message-id": event.provider_id.strip("<>"), "to": "rita@…"}},
        "user-variables": {"snap_email": event.reference},
        "tags": [],
    }
    if event.what in {"bounced", "deferred"}:
        data |= {
            "severity": "permanent" if event.what == "bounced" else "temporary",
            "reason": "bounce" if event.what == "bounced" else "generic",
            "delivery-status": {"code": 550, "message": event.text, "description": ""},
        }
    return {"event-data": data}


@dataclass
class Reporter:
    """A mail provider that reports to SNAP."""

    provider: str
    client: Any

    @property
    def path(self) -> str:
        return f"/webhooks/mail/{self.provider}/"

    def report(self, *events: Happened) -> int:
        """Report what happened, and return the status of the response."""
        return self.post(body_of(self.provider, *events))

    def post(self, body: Any, *, secret: str = SECRET, **signing: Any) -> int:
        """Post a body as JSON, signed. Return the status of the response."""
        raw, headers = self.sign(body, **signing)
        return self.send(raw, headers, secret=secret)

    def send(
        self,
        raw: bytes,
        headers: dict[str, str],
        *,
        secret: str = SECRET,
        content_type: str = "application/json",
    ) -> int:
        """Post bytes with the headers of a signature."""
        given = dict(headers)
        if secret:
            given["Authorization"] = "Basic " + base64.b64encode(secret.encode()).decode()
        response = self.client.post(self.path, raw, content_type=content_type, headers=given)
        return int(response.status_code)

    def sign(
        self, body: Any, *, age: float = 0, is_forged: bool = False
    ) -> tuple[bytes, dict[str, str]]:
        """Return a body and the headers of its signature, which is `age` seconds old."""
        stamp = str(int(time.time() - age))
        if self.provider == "mailgun":
            return _signed_by_mailgun(body, stamp, is_forged=is_forged), {}
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        if self.provider == "resend":
            return raw, _signed_by_resend(raw, stamp, is_forged=is_forged)
        return raw, _signed_by_sendgrid(raw, stamp, is_forged=is_forged)


def _signed_by_mailgun(body: Any, stamp: str, *, is_forged: bool) -> bytes:
    """Return a body with its signature, which is a part of it. Other bodies stay as they are."""
    if not isinstance(body, dict):
        return body if isinstance(body, bytes) else json.dumps(body).encode()
    key = "a guess" if is_forged else MAILGUN_KEY
    token = "t" * 50
    signature = hmac.new(key.encode(), (stamp + token).encode(), hashlib.sha256).hexdigest()
    signed = {"timestamp": stamp, "token": token, "signature": signature}
    return json.dumps({"signature": signed} | body).encode()


def _signed_by_resend(raw: bytes, stamp: str, *, is_forged: bool) -> dict[str, str]:
    key = b"a guess" if is_forged else RESEND_KEY
    signed = hmac.digest(key, f"msg_1.{stamp}.".encode() + raw, "sha256")
    signature = "v1," + base64.b64encode(signed).decode()
    return {"svix-id": "msg_1", "svix-timestamp": stamp, "svix-signature": signature}


def _signed_by_sendgrid(raw: bytes, stamp: str, *, is_forged: bool) -> dict[str, str]:
    key = ANOTHER_SENDGRID_KEY if is_forged else SENDGRID_KEY
    signature = key.sign(stamp.encode() + raw, ec.ECDSA(SHA256()))
    return {
        "X-Twilio-Email-Event-Webhook-Signature": base64.b64encode(signature).decode(),
        "X-Twilio-Email-Event-Webhook-Timestamp": stamp,
    }


@contextmanager
def reporting(
    settings: Settings, provider: str, fallback: str = "", without: str = ""
) -> Iterator[Reporter]:
    """Serve the webhooks in this process. All providers have keys but the one `without`."""
    keys = dict(SIGNERS)
    if without:
        keys[SIGNED_WITH[without]] = ""
    given = {
        "EMAIL_PROVIDER": provider,
        "EMAIL_FALLBACK_PROVIDER": fallback,
        "MAIL_WEBHOOK_SECRET": SECRET,
        "ANYMAIL": {**settings.ANYMAIL, **keys},
    }
    with override_settings(**given):
        routes: Any = ModuleType("urls_with_webhooks")
        routes.urlpatterns = [*urls.urlpatterns, *webhook_paths()]
        with override_settings(ROOT_URLCONF=routes):
            yield Reporter(provider, Client(raise_request_exception=False))
