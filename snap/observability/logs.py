"""The format of log lines. Secrets and control characters are removed from them."""

import logging
import re
import smtplib
import traceback
from pathlib import Path

_STANDARD_FIELDS = {*vars(logging.makeLogRecord({})), "message", "asctime", "taskName"}
_STANDARD_FIELDS.add("color_message")  # uvicorn's copy of the message
# Characters that end a line or control a terminal, so that values from users start no log line.
_CONTROLS = {0x2028: "\\u2028", 0x2029: "\\u2029"}
for _code in (*range(32), *range(127, 160)):
    _CONTROLS[_code] = f"\\x{_code:02x}"


# QR tokens, links with a proof and signed values, which a reader of a log could use.
HIDDEN = "[hidden]"
_SECRETS = [
    # In a URL or a file name, also where a URL is quoted in another one.
    re.compile(r"((?:/|%2F)(?:guest|qr|unsubscribe)(?:/|%2F))[^\s/'\"?&<>]+", re.IGNORECASE),
    re.compile(r"(qr_token\)?=\(?'?)[\w-]+"),
    re.compile(r"([?&](?:code|key|proof|signature|step|t|token)=)[^\s&'\"]+", re.IGNORECASE),
    # A QR token without a URL: 24 characters with at least one digit, capital and small letter.
    re.compile(
        r"()(?<![\w-])(?=[\w-]*[0-9])(?=[\w-]*[A-Z])(?=[\w-]*[a-z])[\w-]{24}(?![\w-])", re.ASCII
    ),
]
# A value signed by django.core.signing: the value, in most cases a time, and the signature.
_SIGNATURE = re.compile(r":[\w-]{27,}", re.ASCII)
_SIGNED = re.compile(r"()[\w.-]+(?::[A-Za-z0-9]{6})?:[\w-]{27,}", re.ASCII)


def hide_secrets(text: str) -> str:
    """Return a text with its tokens replaced. Takes 4 µs for a usual line."""
    for secret in _SECRETS:
        text = secret.sub(_keep_context, text)
    # The search for a signature costs a tenth of the search for a signed value.
    if _SIGNATURE.search(text):
        text = _SIGNED.sub(_keep_context, text)
    return text


def _keep_context(match: re.Match[str]) -> str:
    return match[1] + HIDDEN


def _is_clients_error(record: logging.LogRecord) -> bool:
    """Return whether a record is Django's, about a request that was refused with a 4xx."""
    status = getattr(record, "status_code", 500)
    return record.name.startswith("django.security") or status < 500


class PlainFormatter(logging.Formatter):
    """Formats an event as one line: time, level, logger, event name, extra fields as key=value.

    Tokens are hidden in the whole text, including the values in a traceback.
    """

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s %(message)s")

    def format(self, record: logging.LogRecord) -> str:
        if _is_clients_error(record):
            # Any client can cause these, so they get no traceback. The record itself is unchanged:
            # other handlers need the traceback.
            record = logging.makeLogRecord({**vars(record), "exc_info": None, "exc_text": None})
        return hide_secrets(super().format(record))

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 (logging's name)
        line = super().formatMessage(record)
        # The message of runserver has everything; its fields are a socket and a second time.
        if record.name != "django.server":
            for key, value in vars(record).items():
                if key not in _STANDARD_FIELDS:
                    line += f" {key}={value}"
        return line.translate(_CONTROLS)


def describe_error(error: Exception) -> str:
    """Return an error's class and location without its text: `SMTPDataError 554 (smtplib.py:887)`.

    A mail or HTTP error also has its status, a database error the name of the violated constraint.
    The text is left out because it could contain personal data.
    """
    status = getattr(error, "smtp_code", None) or getattr(error, "status_code", None) or ""
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        status = max(code for code, _ in error.recipients.values())
    diagnostics = getattr(error.__cause__, "diag", None)
    constraint = getattr(diagnostics, "constraint_name", None)
    frame = traceback.extract_tb(error.__traceback__)[-1]
    where = f"({Path(frame.filename).name}:{frame.lineno})"
    parts = (type(error).__name__, status, constraint, where)
    return " ".join(str(part) for part in parts if part)
