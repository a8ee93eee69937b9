"""What an error of a mail provider says about the fate of an email.

SMTP replies are read as RFC 3463 and the mailbox providers define them (Gmail, Outlook and Yahoo as
of 2025), HTTP statuses as Resend, SendGrid and Mailgun document them.
"""

import re
import smtplib
from contextlib import suppress
from email.utils import mktime_tz, parsedate_tz
from enum import Enum, auto
from time import time
from typing import Any

import requests
from anymail.exceptions import (
    AnymailAPIError,
    AnymailConfigurationError,
    AnymailInvalidAddress,
    AnymailRecipientsRefused,
)
from django.core.exceptions import ImproperlyConfigured, ValidationError
from django.core.mail import BadHeaderError
from urllib3.exceptions import (
    ConnectTimeoutError,
    MaxRetryError,
    NameResolutionError,
    NewConnectionError,
    ProxyError,
)

from notifications.smtp import ResponseLost


class Fate(Enum):
    """What became of an email that a provider did not accept in so many words."""

    REFUSED = auto()  # the recipient or the message is never accepted
    FAILED = auto()  # not accepted; another attempt may succeed
    UNAVAILABLE = auto()  # not accepted; the provider does not work for any email
    LIMITED = auto()  # not accepted; the provider accepts no more for now
    NEEDS_MENDING = auto()  # not accepted because of our key, sender or domain
    UNSURE = auto()  # the response was lost: the email may have been accepted
    ACCEPTED = auto()  # accepted by an earlier attempt


def fate_of(error: Exception, *, is_known_by_key: bool = False) -> Fate:
    """Classify an error that a backend raised.

    `is_known_by_key` says that an earlier request with this idempotency key may have succeeded.
    """
    match error:
        case AnymailRecipientsRefused() | AnymailInvalidAddress():
            return Fate.REFUSED
        case BadHeaderError() | ValidationError():
            return Fate.REFUSED
        case AnymailConfigurationError() | ImproperlyConfigured():
            return Fate.NEEDS_MENDING
        case smtplib.SMTPNotSupportedError():
            # The server offers no encryption or no login, and a setting asks for it.
            return Fate.NEEDS_MENDING
        case AnymailAPIError(status_code=None):
            return _fate_without_response(error)
        case AnymailAPIError():
            return _fate_of_response(error, is_known_by_key=is_known_by_key)
        case ResponseLost():
            return Fate.UNSURE
        case smtplib.SMTPException():
            return _fate_of_smtp_error(error)
        case OSError():
            return Fate.UNAVAILABLE
        case _:
            return Fate.FAILED


def code_of(error: Exception) -> str:
    """Return the provider's code, such as `550 5.7.26` or `403`, "" if there is none."""
    reply = _smtp_reply(error)
    if reply is not None:
        code, text = reply
        return f"{code} {enhanced_code(text)}".strip()
    return str(getattr(error, "status_code", None) or "")


# SMTP ---------------------------------------------------------------------------------------------

ENHANCED = re.compile(rb"^\s*([245]\.[0-9]{1,3}\.[0-9]{1,3})\b")

# Login or encryption is required, or was refused (RFC 4954, RFC 3207).
LOGIN_CODES = {530, 534, 535, 538}
# Permanent refusals that are about the sender: its authentication, domain, address or network.
OURS = {
    "5.1.7",  # the sender's address is malformed
    "5.1.8",  # the sender's domain does not exist
    "5.4.5",  # Gmail: the account has sent its day's emails
    "5.7.8",  # RFC 4954: credentials are wrong
    "5.7.9",  # Gmail: another password is needed; Yahoo: DMARC failed
    "5.7.14",  # Gmail: sign in by a browser first
    "5.7.57",  # Outlook: not signed in
    "5.7.60",  # Outlook: not allowed to send as this sender
    "5.7.64",  # Outlook: relaying is not allowed
    "5.7.133",  # Outlook: the sender is not authenticated
    "5.7.134",
    "5.7.750",  # Outlook: an unregistered domain
}
# Ranges of the third number of 5.7.x. Gmail and RFC 7372: SPF, DKIM, DMARC, PTR and TLS of ours.
# Outlook: our domain (501 to 515) or our network (606 to 649, 700 to 709) is banned or lacks proof.
OUR_RANGES = (range(20, 32), range(501, 516), range(606, 650), range(700, 710))
# Servers that do not send for us, in the words of Postfix, Exim, Sendmail and Exchange.
RELAYING = re.compile(
    r"\brelay(ing)?\b[^.]{0,20}\b(not|denied|refused|prohibited|forbidden|disabled)\b"
    r"|\b(unable|cannot|not|denied|refused|prohibited|forbidden)\b[^.]{0,20}\brelay(ing)?\b",
    re.IGNORECASE,
)
# Replies repeat addresses, and anybody can choose the words of one.
ADDRESS = re.compile(r"[^\s\"'`<>,:;()\[\]{}]*@[^\s\"'`<>,:;()\[\]{}]*")
# The server accepts no email at all for now: out of space, being shut down, or overloaded.
SERVER_CODES = {"4.3.0", "4.3.1", "4.3.2", "4.4.5"}
SERVICE_CLOSING = 421

# Errors of steps before the recipient is named. They would happen to any other email too.
ABOUT_SENDER = (
    smtplib.SMTPConnectError,
    smtplib.SMTPHeloError,
    smtplib.SMTPAuthenticationError,
    smtplib.SMTPSenderRefused,
)


def enhanced_code(text: bytes) -> str:
    """Return the enhanced status code at the start of a reply (RFC 2034), "" if it has none."""
    found = ENHANCED.match(text)
    if found is None:
        return ""
    return found[1].decode()


def fate_of_reply(code: int, text: bytes, *, is_about_sender: bool = False) -> Fate:
    """Classify an SMTP reply that refuses something."""
    enhanced = enhanced_code(text)
    if code in LOGIN_CODES or is_ours(enhanced):
        return Fate.NEEDS_MENDING
    if code == SERVICE_CLOSING or enhanced in SERVER_CODES:
        return Fate.UNAVAILABLE
    if code < 500:
        return Fate.UNAVAILABLE if is_about_sender else Fate.FAILED
    if is_about_sender or _is_about_relaying(enhanced, text):
        return Fate.NEEDS_MENDING
    return Fate.REFUSED


def _is_about_relaying(enhanced: str, text: bytes) -> bool:
    """Return whether a refusal says that the server does not send for us."""
    if enhanced and not enhanced.startswith("5.7."):
        return False
    return RELAYING.search(_without_addresses(text.decode(errors="replace"))) is not None


def _without_addresses(text: str) -> str:
    return ADDRESS.sub("", text)


def is_ours(enhanced: str) -> bool:
    """Return whether an enhanced status code says that our sender, domain or key is refused."""
    if enhanced in OURS:
        return True
    if not enhanced.startswith("5.7."):
        return False
    number = int(enhanced.rpartition(".")[2])
    return any(number in each for each in OUR_RANGES)


def _smtp_reply(error: Exception) -> tuple[int, bytes] | None:
    """Return the code and the text of the reply that an error is about, if it is about one."""
    code: int
    text: Any
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        code, text = max(error.recipients.values(), key=lambda reply: reply[0])
    elif isinstance(error, smtplib.SMTPResponseException):
        code, text = error.smtp_code, error.smtp_error
    else:
        return None
    # smtplib gives some texts as str.
    return code, text.encode() if isinstance(text, str) else text


def _fate_of_smtp_error(error: smtplib.SMTPException) -> Fate:
    reply = _smtp_reply(error)
    if reply is None:
        # The connection ended before the message was handed over.
        return Fate.UNAVAILABLE
    return fate_of_reply(*reply, is_about_sender=isinstance(error, ABOUT_SENDER))


# HTTP ---------------------------------------------------------------------------------------------

# Statuses that say no to any email: a key, an account, an address of the API or a sender's domain.
OUR_STATUSES = {401, 402, 403, 404, 405, 406, 410, 415}
# Statuses after which the fate of the email is unknown. 503 says that nothing was accepted.
UNSURE_STATUSES = {408, 500, 502, 504}
TOO_MANY = 429
UNAVAILABLE = 503
CONFLICT = 409

# Errors of a connection over which no request was sent.
BEFORE_REQUEST = (
    requests.exceptions.ProxyError,
    requests.exceptions.InvalidURL,
    requests.exceptions.InvalidSchema,
)
NOT_CONNECTED = (
    ConnectTimeoutError,
    NameResolutionError,
    NewConnectionError,
    ProxyError,
)


def _fate_without_response(error: Exception) -> Fate:
    """Classify an error of a connection to a provider's API."""
    if isinstance(error, requests.ConnectTimeout) or _was_not_connected(error):
        return Fate.UNAVAILABLE
    if isinstance(error, requests.RequestException) and error.__cause__ is not None:
        return Fate.UNSURE
    return Fate.FAILED


def _was_not_connected(error: Exception) -> bool:
    cause: object = error.__cause__
    if isinstance(cause, requests.exceptions.SSLError):
        # The end of an encrypted connection can come after the request; other errors do not.
        return "EOF" not in str(cause)
    if isinstance(cause, BEFORE_REQUEST):
        return True
    reason = cause.args[0] if isinstance(cause, Exception) and cause.args else None
    if isinstance(reason, MaxRetryError):
        reason = reason.reason
    return isinstance(reason, NOT_CONNECTED)


def _fate_of_response(error: AnymailAPIError, *, is_known_by_key: bool) -> Fate:
    """Classify the HTTP response of a provider's API."""
    status = error.status_code
    text = (getattr(error.response, "text", "") or "").lower()
    if status == TOO_MANY:
        return Fate.LIMITED
    if status == CONFLICT:
        return _fate_of_conflict(text, is_known_by_key=is_known_by_key)
    if status in OUR_STATUSES or _is_about_sender(text, status):
        return Fate.NEEDS_MENDING
    if status in UNSURE_STATUSES or 200 <= status < 300:
        # A success whose text cannot be read leaves the fate open.
        return Fate.UNSURE
    if status >= 500 or 300 <= status < 400:
        return Fate.UNAVAILABLE
    return Fate.REFUSED


def _fate_of_conflict(text: str, *, is_known_by_key: bool) -> Fate:
    """Classify a 409: another request with this idempotency key was made (Resend).

    With other contents: the email was accepted as it was then.
    """
    if "invalid_idempotent_request" in text and is_known_by_key:
        return Fate.ACCEPTED
    if "concurrent_idempotent_requests" in text or "invalid_idempotent_request" in text:
        return Fate.UNSURE
    return Fate.REFUSED


def _is_about_sender(text: str, status: int) -> bool:
    """Return whether a 400 or 422 is about the key or the sender (Resend and Mailgun use them)."""
    if status not in {400, 422}:
        return False
    text = _without_addresses(text)
    return any(words in text for words in SENDER_WORDS)


SENDER_WORDS = (
    "api key is invalid",
    "invalid_from_address",
    "domain is not verified",
    "not allowed to send",
    "verified sender identity",
    "account is disabled",
    "from parameter is not a valid address",
    "from email does not contain a valid address",
)


def retry_after(error: Exception) -> float | None:
    """Return the seconds that a 429 asks to wait, None if it names none."""
    headers = getattr(getattr(error, "response", None), "headers", {})
    for name in ("Retry-After", "ratelimit-reset"):
        text = headers.get(name, "")
        if SECONDS.fullmatch(text):
            return float(text)
        with suppress(ValueError, OverflowError):  # a year that no clock knows
            if moment := parsedate_tz(text):
                return max(0.0, mktime_tz(moment) - time())
    # SendGrid: seconds since 1970.
    if SECONDS.fullmatch(reset := headers.get("X-RateLimit-Reset", "")):
        return max(0.0, float(reset) - time())
    return None


SECONDS = re.compile(r"[0-9]{1,11}(\.[0-9]+)?")
