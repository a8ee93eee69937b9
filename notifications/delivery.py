"""Delivering one email, and telling whose fault it is when that fails.

What is stored and logged about a failure names the error and where it arose, never its text: mail
servers like to repeat the address, and an exception may quote what it was given.
"""

import smtplib
import socket
from dataclasses import dataclass
from enum import Enum, auto
from time import monotonic
from urllib.parse import urlsplit

from anymail.exceptions import AnymailAPIError, AnymailInvalidAddress, AnymailRecipientsRefused
from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.mail import BadHeaderError, get_connection
from django.core.mail.backends.base import BaseEmailBackend
from django.core.mail.backends.smtp import EmailBackend as SMTPBackend
from django.core.mail.utils import DNS_NAME
from django.db import InterfaceError, OperationalError
from django.utils import translation

from notifications.kinds import build_content
from notifications.messages import make_message
from notifications.models import Email
from snap.observability.logs import describe_error
from snap.resilience.breaker import Breaker

PROBE_SECONDS = 2.0
PORTS = {"http": 80, "https": 443}


def provider_answers() -> bool:
    """Say whether the mail provider can be reached, by the backend that emails are sent with."""
    backend = get_connection()
    try:
        if isinstance(backend, SMTPBackend):
            name = DNS_NAME.get_fqdn()
            with smtplib.SMTP(backend.host, backend.port, name, PROBE_SECONDS) as server:
                server.noop()
        elif address := getattr(backend, "api_url", ""):
            url = urlsplit(address)
            port = url.port or PORTS[url.scheme]
            socket.create_connection((url.hostname or "", port), PROBE_SECONDS).close()
    except OSError:
        return False
    return True


# Around the mail provider. While it is open nothing is tried, and no attempt is used up.
provider = Breaker(
    f"mail_{settings.EMAIL_PROVIDER}",
    threshold=settings.BREAKER_THRESHOLD,
    pause=settings.BREAKER_PAUSE,
    probe=provider_answers,
)


class Result(Enum):
    SENT = auto()
    NOT_WANTED = auto()  # its cause has gone
    REFUSED = auto()  # this address will never take it
    FAILED = auto()  # something about this email
    UNAVAILABLE = auto()  # the mail server, the database or the network


@dataclass(frozen=True)
class Outcome:
    result: Result
    provider_id: str = ""
    error: str = ""


def deliver(email: Email, backend: BaseEmailBackend) -> Outcome:
    """Send one email over the backend, opening it when it is closed. Never raises for one email."""
    try:
        with translation.override(email.language):
            content = build_content(email.kind, email.cause)
        if content is None or content.only_to not in ("", email.to):
            return Outcome(Result.NOT_WANTED)
        message = make_message(email, content)
    except (ValidationError, BadHeaderError) as error:
        return Outcome(Result.REFUSED, error=describe_error(error))
    except (InterfaceError, OperationalError, ConnectionError, TimeoutError) as error:
        return Outcome(Result.UNAVAILABLE, error=describe_error(error))
    except Exception as error:  # noqa: BLE001 (one bad email must not hold up the others)
        return Outcome(Result.FAILED, error=describe_error(error))
    began = monotonic()
    try:
        backend.open()
        backend.send_messages([message])
    except Exception as error:  # noqa: BLE001 (one bad email must not hold up the others)
        result = _classify_error(error)
        if result is Result.UNAVAILABLE:
            provider.failed(began)
            provider.suspect()
        else:
            provider.succeeded()
        return Outcome(result, error=describe_error(error))
    provider.succeeded()
    status = getattr(message, "anymail_status", None)
    return Outcome(Result.SENT, provider_id=getattr(status, "message_id", None) or "")


def _classify_error(error: Exception) -> Result:
    match error:
        case AnymailRecipientsRefused() | AnymailInvalidAddress() | BadHeaderError():
            return Result.REFUSED
        case AnymailAPIError(status_code=status):
            ours = status is None or status >= 500 or status in {401, 403, 408, 429}
            return Result.UNAVAILABLE if ours else Result.FAILED
        case smtplib.SMTPRecipientsRefused():
            return _blame_for_reply(max(code for code, _ in error.recipients.values()))
        case smtplib.SMTPDataError(smtp_code=code):
            return Result.UNAVAILABLE if code == 421 else Result.FAILED
        case smtplib.SMTPNotSupportedError():
            return Result.FAILED
        case OSError():
            # No connection, none any more, no login, or a sender that is not ours to use: every
            # SMTP error is an OSError, and these would meet any other email just the same.
            return Result.UNAVAILABLE
        case _:
            return Result.FAILED


def _blame_for_reply(code: int) -> Result:
    if code == 421:
        return Result.UNAVAILABLE
    return Result.REFUSED if code >= 500 else Result.FAILED
