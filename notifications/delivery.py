"""Send one email through the mail provider, and classify the error when that fails.

`notifications.sending` decides whether another attempt follows.

Rows and logs name an error and where it arose, never its text: mail servers repeat the address, and
an exception can quote its arguments.
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
from notifications.messages import RelatedMessage, make_message
from notifications.models import Email
from snap.local_cache import on_reset
from snap.mail_addresses import is_same_address
from snap.observability.logs import describe_error
from snap.resilience.breaker import Breaker

PROBE_SECONDS = 2.0
DEFAULT_PORTS = {"http": 80, "https": 443}


def provider_responds() -> bool:
    """Return whether the mail provider accepts a connection within PROBE_SECONDS."""
    backend = get_connection()
    try:
        if isinstance(backend, SMTPBackend):
            name = DNS_NAME.get_fqdn()
            with smtplib.SMTP(backend.host, backend.port, name, PROBE_SECONDS) as server:
                server.noop()
        elif address := getattr(backend, "api_url", ""):
            url = urlsplit(address)
            port = url.port or DEFAULT_PORTS[url.scheme]
            socket.create_connection((url.hostname or "", port), PROBE_SECONDS).close()
    except OSError:
        return False
    return True


# While this breaker is open, no email is sent and no attempt is used up.
provider = Breaker(
    f"mail_{settings.EMAIL_PROVIDER}",
    threshold=settings.BREAKER_THRESHOLD,
    pause=settings.BREAKER_PAUSE,
    probe=provider_responds,
)
on_reset(provider.succeeded)


class Result(Enum):
    """The result of one attempt. Kept outcomes store these names on the disk."""

    SENT = auto()
    NOT_WANTED = auto()  # the reason for the email is gone
    REFUSED = auto()  # the address never accepts it
    FAILED = auto()  # an error of this email; another attempt may succeed
    UNAVAILABLE = auto()  # the mail provider, the database or the network does not respond


@dataclass(frozen=True)
class Outcome:
    result: Result
    provider_id: str = ""
    error: str = ""


def deliver(email: Email, backend: BaseEmailBackend) -> Outcome:
    """Send one email over the backend, which is opened if it is closed.

    Every error becomes an outcome; none is raised.
    """
    try:
        message = _build_message(email)
    except (ValidationError, BadHeaderError) as error:
        return Outcome(Result.REFUSED, error=describe_error(error))
    except (InterfaceError, OperationalError, ConnectionError, TimeoutError) as error:
        return Outcome(Result.UNAVAILABLE, error=describe_error(error))
    except Exception as error:  # noqa: BLE001 (one bad email must not block the others)
        return Outcome(Result.FAILED, error=describe_error(error))
    if message is None:
        return Outcome(Result.NOT_WANTED)
    return _send(message, backend)


def _build_message(email: Email) -> RelatedMessage | None:
    """Return the message of an email, or None when the email is no longer wanted."""
    with translation.override(email.language):
        content = build_content(email.kind, email.cause)
    if content is None or (content.only_to and not is_same_address(content.only_to, email.to)):
        return None
    return make_message(email, content)


def _send(message: RelatedMessage, backend: BaseEmailBackend) -> Outcome:
    began = monotonic()
    try:
        backend.open()
        backend.send_messages([message])
    except Exception as error:  # noqa: BLE001 (one bad email must not block the others)
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
            return _classify_status(status)
        case smtplib.SMTPRecipientsRefused():
            return _classify_recipient_reply(max(code for code, _ in error.recipients.values()))
        case smtplib.SMTPDataError(smtp_code=421):
            return Result.UNAVAILABLE
        case smtplib.SMTPDataError() | smtplib.SMTPNotSupportedError():
            return Result.FAILED
        case OSError():
            # Every SMTP error is an OSError. The rest are about the connection, the login or the
            # sender, and would happen to any other email too.
            return Result.UNAVAILABLE
        case _:
            return Result.FAILED


def _classify_status(status: int | None) -> Result:
    """Classify the HTTP status of a provider's API, None without a response."""
    if status is None or status >= 500 or status in {401, 403, 408, 429}:
        return Result.UNAVAILABLE
    return Result.FAILED


def _classify_recipient_reply(code: int) -> Result:
    """Classify an SMTP reply to the recipient's address."""
    if code == 421:
        return Result.UNAVAILABLE
    if code >= 500:
        return Result.REFUSED
    return Result.FAILED
