"""How log lines look, and what never stands in one."""

import logging
import re
import smtplib
import traceback
from pathlib import Path

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
_STANDARD |= {"color_message"}  # uvicorn's, the message once more
# What ends a line or drives a terminal: nobody's name or address begins a line of its own.
_CONTROLS = {code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160))}
_CONTROLS |= {code: f"\\u{code:04x}" for code in (0x2028, 0x2029)}


# Readers of a log could use these: QR tokens, links that prove something, signed values.
HIDDEN = "[hidden]"
_SECRETS = [
    # In an address or a file's name, also where an address is quoted in another one.
    re.compile(r"((?:/|%2F)(?:guest|qr)(?:/|%2F))[^\s/'\"?&<>]+", re.IGNORECASE),
    re.compile(r"(qr_token\)?=\(?'?)[\w-]+"),
    re.compile(r"([?&](?:code|key|proof|signature|step|t|token)=)[^\s&'\"]+", re.IGNORECASE),
    # A QR token by itself: 24 characters, with digits, capitals and small letters among them.
    re.compile(
        r"()(?<![\w-])(?=[\w-]*[0-9])(?=[\w-]*[A-Z])(?=[\w-]*[a-z])[\w-]{24}(?![\w-])", re.ASCII
    ),
]
# What django.core.signing makes: a value, mostly a time, and a signature.
_SIGNATURE = re.compile(r":[\w-]{27,}", re.ASCII)
_SIGNED = re.compile(r"()[\w.-]+(?::[A-Za-z0-9]{6})?:[\w-]{27,}", re.ASCII)


def hide_secrets(text: str) -> str:
    """Return a text with its tokens replaced. 4 µs for a usual line."""
    for secret in _SECRETS:
        text = secret.sub(_keep_context, text)
    # Looking for a signature alone costs a tenth of looking for all that is signed.
    return _SIGNED.sub(_keep_context, text) if _SIGNATURE.search(text) else text


def _keep_context(match: re.Match[str]) -> str:
    return match[1] + HIDDEN


def _is_clients_error(record: logging.LogRecord) -> bool:
    """Say whether a record is Django's, about a request that was refused with a 4xx."""
    status = getattr(record, "status_code", 500)
    return record.name.startswith("django.security") or status < 500


class PlainFormatter(logging.Formatter):
    """One line an event: time, level, logger, event name, then the extra fields as key=value.

    Tokens are hidden in all of it, the values in a traceback included.
    """

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s %(message)s")

    def format(self, record: logging.LogRecord) -> str:
        if _is_clients_error(record):
            # Anybody can cause them: one line says enough. Other handlers see the record whole.
            record = logging.makeLogRecord({**vars(record), "exc_info": None, "exc_text": None})
        return hide_secrets(super().format(record))

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 (logging's name)
        text = super().formatMessage(record)
        # runserver's message has everything; its fields are a socket and the time once more.
        if record.name != "django.server":
            for key, value in vars(record).items():
                if key not in _STANDARD:
                    text += f" {key}={value}"
        return text.translate(_CONTROLS)


def describe_error(error: Exception) -> str:
    """Name an error and where it arose, without its text: `SMTPDataError 554 (smtplib.py:887)`.

    Of a mail or HTTP error the status is included, of a database error the violated constraint.
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
