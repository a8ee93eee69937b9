"""Signatures of the reports of mail providers. Each provider signs in its own way.

A signature has a time, so a recorded report is refused later. Resend signs each attempt anew. The
others may send an earlier signature again while they retry, so theirs are good for longer. Within
that time a replayed report changes nothing (`reports`).
"""

import base64
import binascii
import hmac
import json
import math
import time
from collections.abc import Callable, Mapping
from typing import Any

# Seconds for which a signature is good, and by which its clock may be ahead.
RESEND_SECONDS = 5 * 60
MAILGUN_SECONDS = 9 * 60 * 60  # Mailgun retries for 8 hours
SENDGRID_SECONDS = 25 * 60 * 60  # SendGrid retries for 24 hours
AHEAD_SECONDS = 5 * 60
RESEND_PREFIX = "whsec_"
MAX_TOKEN = 200  # characters of Mailgun's random token


class SignatureError(Exception):
    """A report is not signed with the key, or its signature is too old."""


Headers = Mapping[str, str]
# Raises SignatureError. Takes the headers and the body of a report.
Verify = Callable[[Headers, bytes], None]


def make_resend_verifier(secret: str) -> Verify:
    """Return the check of reports from Resend. Raises ValueError for no secret of Resend."""
    encoded = secret.removeprefix(RESEND_PREFIX)
    if encoded == secret or len(encoded) < 16:
        raise ValueError(f"it begins with {RESEND_PREFIX}")
    key = base64.b64decode(encoded, validate=True)

    def verify(headers: Headers, body: bytes) -> None:
        stamp = headers.get("Svix-Timestamp", "")
        _check_time(stamp, RESEND_SECONDS)
        signed = f"{headers.get('Svix-Id', '')}.{stamp}.".encode() + body
        expected = base64.b64encode(hmac.digest(key, signed, "sha256"))
        # One signature for each secret, while the secret is being changed.
        for given in headers.get("Svix-Signature", "").split():
            version, _, signature = given.partition(",")
            if version == "v1" and hmac.compare_digest(signature.encode(), expected):
                return
        raise SignatureError("the signature is wrong")

    return verify


def make_sendgrid_verifier(key: str) -> Verify:
    """Return the check of reports from SendGrid. Raises ValueError for no public key."""
    # Here, because cryptography takes 16 MB of memory: only with SendGrid.
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, EllipticCurvePublicKey
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.serialization import load_der_public_key

    public_key = load_der_public_key(base64.b64decode(key, validate=True))
    if not isinstance(public_key, EllipticCurvePublicKey):
        raise ValueError("it is a key of another kind")

    def verify(headers: Headers, body: bytes) -> None:
        stamp = headers.get("X-Twilio-Email-Event-Webhook-Timestamp", "")
        _check_time(stamp, SENDGRID_SECONDS)
        given = headers.get("X-Twilio-Email-Event-Webhook-Signature", "")
        try:
            signature = base64.b64decode(given, validate=True)
            public_key.verify(signature, stamp.encode() + body, ECDSA(SHA256()))
        except (binascii.Error, ValueError, InvalidSignature) as error:
            raise SignatureError("the signature is wrong") from error

    return verify


def make_mailgun_verifier(key: str) -> Verify:
    """Return the check of reports from Mailgun. It signs a time and a token, not the report."""

    def verify(headers: Headers, body: bytes) -> None:
        stamp, token, given = _mailgun_fields(body)
        _check_time(stamp, MAILGUN_SECONDS)
        expected = hmac.new(key.encode(), f"{stamp}{token}".encode(), "sha256").hexdigest()
        if not hmac.compare_digest(given.encode(), expected.encode()):
            raise SignatureError("the signature is wrong")

    return verify


def _mailgun_fields(body: bytes) -> tuple[str, str, str]:
    """Return time, token and signature. Raises SignatureError without them."""
    try:
        fields: Any = json.loads(body)["signature"]
        found = tuple(str(fields[name]) for name in ("timestamp", "token", "signature"))
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise SignatureError("there is no signature") from error
    stamp, token, signature = found
    if not all(field.isascii() and len(field) <= MAX_TOKEN for field in found):
        raise SignatureError("there is no signature")
    return stamp, token, signature


def _check_time(stamp: str, seconds: float) -> None:
    """Raise SignatureError unless a time (seconds since 1970) is of the last `seconds`."""
    try:
        age = time.time() - float(stamp)
    except ValueError as error:
        raise SignatureError("there is no time") from error
    if not math.isfinite(age) or not -AHEAD_SECONDS <= age <= seconds:
        raise SignatureError("the time is too far away")
