"""What the reports of each mail provider look like, read into `Report`s.

anymail reads one event at a time, and raises whatever a malformed one leads to. Here a body is
malformed as a whole, or an event in it is left out. Only what a row keeps is read: no address, no
text of a mail server, and nothing of the reader's device.
"""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from notifications.bounces import BounceReason, code_in, reason_for
from notifications.references import REFERENCE_KEY, Reference
from notifications.reports import Report, ReportKind

MAX_ID = 255  # characters of a provider's id, as in the row

# Takes the parsed JSON of a body. Raises ValueError when it is no report of the provider.
Parse = Callable[[Any], list[Report]]


def text_at(value: Any, *path: str) -> str:
    """Return the text at a path of names in parsed JSON, "" when there is none."""
    found = _value_at(value, *path)
    if isinstance(found, str):
        # PostgreSQL stores no null byte and no half of a surrogate pair.
        return found.encode(errors="ignore").decode().replace("\0", "")
    return ""


def _value_at(value: Any, *path: str) -> Any:
    for name in path:
        if not isinstance(value, dict):
            return None
        value = value.get(name)
    return value


def _time_of_number(value: Any) -> datetime | None:
    """Return the time of seconds since 1970, None for anything else."""
    try:
        return datetime.fromtimestamp(float(value), tz=UTC)
    except (TypeError, ValueError, OverflowError, OSError):
        return None


def _make_report(
    kind: ReportKind,
    at: datetime | None,
    provider_id: str,
    reference: str,
    reason: BounceReason = BounceReason.OTHER,
    code: str = "",
) -> Report:
    return Report(
        kind=kind,
        at=at,
        provider_id=provider_id[:MAX_ID],
        reference=Reference.parse(reference),
        reason=reason,
        code=code,
    )


# Resend ------------------------------------------------------------------------------------------

RESEND_KINDS = {
    "email.sent": ReportKind.ACCEPTED,
    "email.delivery_delayed": ReportKind.DEFERRED,
    "email.delivered": ReportKind.DELIVERED,
    "email.opened": ReportKind.OPENED,
    "email.clicked": ReportKind.OPENED,
    "email.bounced": ReportKind.BOUNCED,
    "email.failed": ReportKind.BOUNCED,
    "email.suppressed": ReportKind.BOUNCED,
    "email.complained": ReportKind.COMPLAINED,
}
# Sub-types of bounces, as Amazon SES names them.
RESEND_REASONS = {
    "NoEmail": BounceReason.INVALID,
    "MailboxFull": BounceReason.FULL,
    "ContentRejected": BounceReason.SPAM,
    "AttachmentRejected": BounceReason.SPAM,
    "MessageTooLarge": BounceReason.BLOCKED,
    "Suppressed": BounceReason.INVALID,
    "OnAccountSuppressionList": BounceReason.INVALID,
}


def parse_resend(body: Any) -> list[Report]:
    """Read the one event of a report from Resend."""
    event_type = text_at(body, "type")
    if not event_type or not isinstance(_value_at(body, "data"), dict):
        raise ValueError("no event of Resend")
    kind = RESEND_KINDS.get(event_type)
    if kind is None:
        return []
    data = body["data"]
    code, reason = _resend_reason(event_type, data)
    provider_id, reference = text_at(data, "email_id"), _resend_reference(data)
    return [_make_report(kind, _resend_time(body), provider_id, reference, reason, code)]


def _resend_time(body: Any) -> datetime | None:
    try:
        at = datetime.fromisoformat(text_at(body, "created_at"))
    except ValueError:
        return None
    if at.tzinfo is None:
        return at.replace(tzinfo=UTC)
    return at


def _resend_reference(data: Any) -> str:
    """Return the reference among the tags: an object, or a list of names and values."""
    tags = _value_at(data, "tags")
    if isinstance(tags, list):
        for tag in tags:
            if text_at(tag, "name") == REFERENCE_KEY:
                return text_at(tag, "value")
    return text_at(tags, REFERENCE_KEY)


def _resend_reason(event_type: str, data: Any) -> tuple[str, BounceReason]:
    if event_type == "email.failed":
        # The email never left: a quota, a key, or a domain that is not verified.
        return "", BounceReason.OURS
    if event_type == "email.suppressed":
        return "", BounceReason.INVALID
    diagnostics = _value_at(data, "bounce", "diagnosticCode")
    texts = diagnostics if isinstance(diagnostics, list) else [diagnostics]
    text = " ".join(each for each in texts if isinstance(each, str))
    code = code_in(text)
    reason = RESEND_REASONS.get(text_at(data, "bounce", "subType"))
    if reason is None:
        # Resend's own sentence, where a server's text is missing.
        reason = reason_for(code, text or text_at(data, "bounce", "message"))
    return code, reason


# SendGrid ----------------------------------------------------------------------------------------

SENDGRID_KINDS = {
    "processed": ReportKind.ACCEPTED,
    "deferred": ReportKind.DEFERRED,
    "delivered": ReportKind.DELIVERED,
    "open": ReportKind.OPENED,
    "click": ReportKind.OPENED,
    "bounce": ReportKind.BOUNCED,
    "dropped": ReportKind.BOUNCED,
    "spamreport": ReportKind.COMPLAINED,
}
# Why SendGrid drops an email before it leaves, in lower case.
SENDGRID_DROPS = {
    "bounced address": BounceReason.INVALID,
    "invalid": BounceReason.INVALID,
    "unsubscribed address": BounceReason.UNSUBSCRIBED,
    "spam reporting address": BounceReason.UNSUBSCRIBED,
    "spam content": BounceReason.SPAM,
    "recipient list over package quota": BounceReason.OURS,
    "invalid smtpapi header": BounceReason.OURS,
}
SENDGRID_CLASSES = {
    "Invalid Address": BounceReason.INVALID,
    "Mailbox Unavailable": BounceReason.FULL,
    "Content": BounceReason.SPAM,
    "Reputation": BounceReason.BLOCKED,
    "Frequency or Volume Too High": BounceReason.BLOCKED,
}


def parse_sendgrid(body: Any) -> list[Report]:
    """Read the events of a report from SendGrid. One that cannot be read is left out."""
    if not isinstance(body, list):
        raise ValueError("no events of SendGrid")
    reports = []
    for event in body:
        kind = SENDGRID_KINDS.get(text_at(event, "event"))
        if kind is not None:
            reports.append(_sendgrid_report(kind, event))
    return reports


def _sendgrid_report(kind: ReportKind, event: Any) -> Report:
    text = text_at(event, "reason") or text_at(event, "response")
    code = code_in(text_at(event, "status")) or code_in(text)
    if text_at(event, "event") == "dropped":
        drop = (text_at(event, "reason") or text_at(event, "type")).lower()
        reason = SENDGRID_DROPS.get(drop, BounceReason.OTHER)
    else:
        reason = reason_for(code, text)
        if reason in {BounceReason.OTHER, BounceReason.BLOCKED}:
            reason = SENDGRID_CLASSES.get(text_at(event, "bounce_classification"), reason)
    return _make_report(
        kind,
        _time_of_number(event.get("timestamp")),
        text_at(event, "anymail_id"),
        text_at(event, REFERENCE_KEY),
        reason,
        code,
    )


# Mailgun -----------------------------------------------------------------------------------------

MAILGUN_KINDS = {
    "accepted": ReportKind.ACCEPTED,
    "delivered": ReportKind.DELIVERED,
    "opened": ReportKind.OPENED,
    "clicked": ReportKind.OPENED,
    "failed": ReportKind.BOUNCED,
    "rejected": ReportKind.BOUNCED,
    "complained": ReportKind.COMPLAINED,
}
# Why Mailgun fails an email without asking the address's server, or gives up.
MAILGUN_REASONS = {
    "suppress-bounce": BounceReason.INVALID,
    "suppress-complaint": BounceReason.UNSUBSCRIBED,
    "suppress-unsubscribe": BounceReason.UNSUBSCRIBED,
    "old": BounceReason.TIMED_OUT,
}


def parse_mailgun(body: Any) -> list[Report]:
    """Read the one event of a report from Mailgun."""
    data = _value_at(body, "event-data")
    event = text_at(data, "event")
    if not event:
        raise ValueError("no event of Mailgun")
    kind = MAILGUN_KINDS.get(event)
    if kind is None:
        return []
    if event == "failed" and text_at(data, "severity") == "temporary":
        kind = ReportKind.DEFERRED
    code, reason = _mailgun_reason(data)
    at = _time_of_number(data.get("timestamp"))
    reference = text_at(data, "user-variables", REFERENCE_KEY)
    return [_make_report(kind, at, _mailgun_id(data), reference, reason, code)]


def _mailgun_id(data: Any) -> str:
    """Return the Message-ID with its brackets, as the response of the API has it."""
    given = text_at(data, "message", "headers", "message-id").strip("<>")
    if not given:
        return ""
    return f"<{given}>"


def _mailgun_reason(data: Any) -> tuple[str, BounceReason]:
    if text_at(data, "event") == "rejected":
        # Mailgun does not send it: a virus, an account that is not in order.
        return "", BounceReason.OURS
    status = _value_at(data, "delivery-status")
    text = f"{text_at(status, 'message')} {text_at(status, 'description')}"
    code = code_in(text_at(status, "enhanced-code")) or code_in(text)
    reason = MAILGUN_REASONS.get(text_at(data, "reason"))
    if reason is None:
        reason = reason_for(code, text)
    if reason is BounceReason.OTHER and text_at(data, "reason") == "bounce":
        # Mailgun's word for an address that does not exist.
        reason = BounceReason.INVALID
    return code, reason


# By the provider's name in EMAIL_PROVIDER.
PARSERS: dict[str, Parse] = {
    "resend": parse_resend,
    "sendgrid": parse_sendgrid,
    "mailgun": parse_mailgun,
}
