"""Reports of providers (webhooks) as they post them to SNAP, with their signatures."""

import base64
import hashlib
import hmac
import json
import queue
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from typing import Self
from uuid import uuid4

import httpx
from cryptography.hazmat.primitives.asymmetric.ec import (
    ECDSA,
    SECP256R1,
    EllipticCurvePrivateKey,
    generate_private_key,
)
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tests.helpers.mail_providers.fields import ReceivedEmail

MAILGUN_SIGNING_KEY = "signing-key-for-tests"
RESEND_SIGNING_SECRET = "whsec_" + base64.b64encode(b"signing secret for tests").decode()
SECRET = "reports:secret-for-tests"

# The names that each provider has for what it reports.
RESEND_EVENTS = {
    "sent": "email.sent",
    "delivered": "email.delivered",
    "bounced": "email.bounced",
    "complained": "email.complained",
    "opened": "email.opened",
    "delayed": "email.delivery_delayed",
}
SENDGRID_EVENTS = {
    "sent": "processed",
    "delivered": "delivered",
    "bounced": "bounce",
    "complained": "spamreport",
    "opened": "open",
    "delayed": "deferred",
}
MAILGUN_EVENTS = {
    "sent": "accepted",
    "delivered": "delivered",
    "bounced": "failed",
    "complained": "complained",
    "opened": "opened",
    "delayed": "failed",
}


@dataclass(frozen=True)
class Report:
    """The body and the headers of one webhook."""

    body: bytes
    headers: Mapping[str, str]


def resend_report(email: ReceivedEmail, event: str, *, at: float | None = None) -> Report:
    """Return what Resend posts. Its events have the email's tags."""
    at = at or time.time()
    moment = datetime.fromtimestamp(at, UTC).isoformat().replace("+00:00", "Z")
    tags = {each["name"]: each["value"] for each in email.tags or []}
    headers = [{"name": name, "value": value} for name, value in email.headers.items()]
    data = {
        "created_at": moment,
        "email_id": email.provider_id,
        "from": email.sender,
        "to": [email.to],
        "subject": email.subject,
        "headers": headers,
        "tags": tags,
    }
    if event == "bounced":
        data["bounce"] = {
            "message": "The recipient's email provider sent a hard bounce message.",
            "type": "Permanent",
            "subType": "General",
        }
    body = json.dumps({"type": RESEND_EVENTS[event], "created_at": moment, "data": data}).encode()
    message, seconds = f"msg_{uuid4().hex}", str(int(at))
    secret = base64.b64decode(RESEND_SIGNING_SECRET.removeprefix("whsec_"))
    signed = f"{message}.{seconds}.".encode() + body
    digest = hmac.new(secret, signed, hashlib.sha256).digest()
    return Report(
        body,
        {
            "svix-id": message,
            "svix-timestamp": seconds,
            "svix-signature": f"v1,{base64.b64encode(digest).decode()}",
        },
    )


def mailgun_report(email: ReceivedEmail, event: str, *, at: float | None = None) -> Report:
    """Return what Mailgun posts. Its events have the email's variables."""
    at = at or time.time()
    token, seconds = uuid4().hex + uuid4().hex[:18], str(int(at))
    signed = f"{seconds}{token}".encode()
    signature = hmac.new(MAILGUN_SIGNING_KEY.encode(), signed, hashlib.sha256).hexdigest()
    data = {
        "id": uuid4().hex[:22],
        "event": MAILGUN_EVENTS[event],
        "timestamp": at,
        "recipient": email.to,
        "tags": email.tags or [],
        "user-variables": email.metadata,
        "message": {
            "headers": {
                "message-id": email.provider_id.strip("<>"),
                "from": email.sender,
                "to": email.to,
                "subject": email.subject,
            }
        },
    }
    if event in {"bounced", "delayed"}:
        severity = "permanent" if event == "bounced" else "temporary"
        data |= {"severity": severity, "reason": "bounce"}
    signature_block = {"timestamp": seconds, "token": token, "signature": signature}
    body = json.dumps({"signature": signature_block, "event-data": data}).encode()
    return Report(body, {})


@cache
def sendgrid_key() -> EllipticCurvePrivateKey:
    return generate_private_key(SECP256R1())


def sendgrid_public_key() -> str:
    """Return the key with which SNAP checks the reports of SendGrid."""
    public = sendgrid_key().public_key()
    der = public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return base64.b64encode(der).decode()


def sendgrid_report(email: ReceivedEmail, event: str, *, at: float | None = None) -> Report:
    """Return what SendGrid posts: a list of events, each with the email's custom arguments."""
    at = at or time.time()
    data = {
        "email": email.to,
        "timestamp": int(at),
        "smtp-id": email.message_id,
        "event": SENDGRID_EVENTS[event],
        "sg_event_id": uuid4().hex[:22],
        "sg_message_id": f"{email.provider_id}.recvd-0123456789",
        **email.metadata,
    }
    if event == "bounced":
        data |= {"status": "5.1.1", "reason": "550 5.1.1 no such user", "type": "bounce"}
    body, seconds = json.dumps([data]).encode(), str(int(at))
    signature = sendgrid_key().sign(seconds.encode() + body, ECDSA(SHA256()))
    return Report(
        body,
        {
            "X-Twilio-Email-Event-Webhook-Signature": base64.b64encode(signature).decode(),
            "X-Twilio-Email-Event-Webhook-Timestamp": seconds,
        },
    )


REPORTS = {
    "resend": resend_report,
    "sendgrid": sendgrid_report,
    "mailgun": mailgun_report,
}


def keys() -> dict[str, str]:
    """Return the environment variables with which SNAP checks reports."""
    return {
        "MAIL_WEBHOOK_SECRET": SECRET,
        "MAILGUN_WEBHOOK_SIGNING_KEY": MAILGUN_SIGNING_KEY,
        "RESEND_SIGNING_SECRET": RESEND_SIGNING_SECRET,
        "SENDGRID_TRACKING_WEBHOOK_VERIFICATION_KEY": sendgrid_public_key(),
    }


class Reporter:
    """Posts a report about each accepted email to SNAP, from one thread.

    `url` has the place of the provider's name, as in `http://…/webhooks/mail/{}/`. A post that
    fails is tried again until the end, as providers do.
    """

    def __init__(self, url: str, *, event: str = "delivered", delay: float = 0.0) -> None:
        self.url = url
        self.event = event
        self.delay = delay
        self.posted = 0
        self.failures = 0
        self._queue: queue.Queue[ReceivedEmail | None] = queue.Queue()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="reports of mail providers")

    def __call__(self, email: ReceivedEmail) -> None:
        """Report an email. Servers call this when they accept it."""
        self._queue.put(email)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._over.set()
        self._queue.put(None)
        self._thread.join()

    def _run(self) -> None:
        user, password = SECRET.split(":")
        with httpx.Client(auth=(user, password), timeout=10) as client:
            while (email := self._queue.get()) is not None:
                due_at = email.at + self.delay
                self._over.wait(max(0.0, due_at - time.time()))
                self._post(client, email)

    def _post(self, client: httpx.Client, email: ReceivedEmail) -> None:
        report = REPORTS[email.provider](email, self.event)
        headers = {"Content-Type": "application/json", **report.headers}
        url = self.url.format(email.provider)
        while True:
            try:
                response = client.post(url, content=report.body, headers=headers)
            except httpx.TransportError:
                status = 0
            else:
                status = response.status_code
            if status == httpx.codes.OK:
                self.posted += 1
                return
            self.failures += 1
            if self._over.wait(0.5):
                return
