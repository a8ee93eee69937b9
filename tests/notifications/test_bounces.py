"""Why emails come back, from what mail servers and providers say of it."""

from datetime import UTC, datetime
from typing import Any

import pytest

from notifications.bounces import (
    BounceReason,
    bounce_error,
    bounce_reason,
    code_in,
    reason_for,
)
from notifications.references import Reference
from notifications.report_formats import parse_mailgun, parse_resend, parse_sendgrid
from notifications.reports import ReportKind
from notifications.staff_words import BOUNCES

# What mail servers answer, in the words of the large mailbox providers.
ANSWERS = [
    ("550-5.1.1 The email account that you tried to reach does not exist.", "invalid"),
    ("550 5.1.10 RESOLVER.ADR.RecipientNotFound; Recipient not found", "invalid"),
    ("550 5.4.1 Recipient address rejected: Access denied.", "invalid"),
    ("554 delivery error: dd This user doesn't have an account", "other"),
    ("550 5.5.0 Requested action not taken: mailbox unavailable", "invalid"),
    ("550 No such user here", "invalid"),
    ("550 Unknown user", "invalid"),
    ("unable to get mx info: failed to get IPs from PTR record", "invalid"),
    ("552-5.2.2 The email account that you tried to reach is over quota.", "full"),
    ("452 4.2.2 Mailbox full", "full"),
    ("550 5.2.1 The email account that you tried to reach is disabled.", "invalid"),
    (
        "550-5.7.26 Blocked because the sender is unauthenticated",
        "authentication",
    ),
    (
        "550 5.7.515 Access denied, sending domain lacks the level",
        "authentication",
    ),
    ("550 5.7.509 Access denied, sending domain does not pass DMARC", "authentication"),
    ("550 5.7.23 The message was rejected because of an SPF failure", "authentication"),
    ("550 DMARC check failed", "authentication"),
    ("550-5.7.1 Our system has detected that this message is likely spam", "spam"),
    ("550 5.7.1 Service unavailable; Client host blocked using a block list", "blocked"),
    ("421 4.4.2 Connection timed out", "timed_out"),
    ("554 5.4.7 Delivery expired (message too old)", "timed_out"),
    ("", "other"),
]


@pytest.mark.parametrize(("text", "reason"), ANSWERS)
def test_a_mail_servers_answer_gives_the_reason(text: str, reason: str) -> None:
    assert reason_for(code_in(text), text) == reason


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("550 5.1.1 no", "5.1.1"),
        ("smtp; 550-5.7.26 x 2.0.0", "5.7.26"),
        ("250 2.0.0 OK", ""),
        ("host 5.1.2.3 refused", ""),
        ("version 15.5.1 at 10.5.7.1", ""),
        ("5.7.5150", ""),
        ("", ""),
    ],
)
def test_a_code_is_no_address_and_no_version(text: str, code: str) -> None:
    assert code_in(text) == code


def test_a_row_keeps_the_reason_and_no_text() -> None:
    for reason in BounceReason:
        assert bounce_reason(bounce_error(reason, "5.1.1")) is reason
        assert bounce_reason(bounce_error(reason)) is reason
        assert str(BOUNCES[reason])
    # Rows of the previous release.
    assert bounce_reason("bounced invalid") is BounceReason.INVALID
    assert bounce_reason("rejected") is BounceReason.OTHER
    assert bounce_reason("bounced") is BounceReason.OTHER


def resend(kind: str, **data: Any) -> Any:
    return parse_resend({"type": f"email.{kind}", "data": {"email_id": "id", **data}})[0]


def sendgrid(**event: Any) -> Any:
    return parse_sendgrid([{"anymail_id": "id", **event}])[0]


def mailgun(**data: Any) -> Any:
    return parse_mailgun({"event-data": data})[0]


RESEND_BOUNCES = [
    ({"type": "Permanent", "subType": "NoEmail"}, "invalid"),
    ({"type": "Permanent", "subType": "Suppressed"}, "invalid"),
    ({"type": "Transient", "subType": "MailboxFull"}, "full"),
    ({"type": "Transient", "subType": "ContentRejected"}, "spam"),
    ({"subType": "General", "diagnosticCode": ["smtp; 550-5.7.26 no"]}, "authentication"),
    ({"subType": "General", "diagnosticCode": "smtp; 550 5.2.2 full"}, "full"),
    ({"message": "the recipient's inbox was full: mailbox full"}, "full"),
    ({}, "other"),
]


@pytest.mark.parametrize(("bounce", "reason"), RESEND_BOUNCES)
def test_the_reasons_of_resend(bounce: Any, reason: str) -> None:
    report = resend("bounced", bounce=bounce)
    assert (report.kind, report.reason) == (ReportKind.BOUNCED, reason)


def test_an_email_that_resend_does_not_send_came_back_too() -> None:
    assert resend("failed", failed={"reason": "reached_daily_quota"}).reason is BounceReason.OURS
    assert resend("suppressed").reason is BounceReason.INVALID


def test_resend_repeats_tags_as_an_object_or_as_a_list() -> None:
    reference = Reference.of(17, datetime.now(UTC))
    for tags in (
        {"snap_email": str(reference)},
        [{"name": "other", "value": "x"}, {"name": "snap_email", "value": str(reference)}],
    ):
        assert resend("delivered", tags=tags).reference == reference
    for odd in ([None, {"name": "snap_email"}], "x", None, {"snap_email": 1}):
        assert resend("delivered", tags=odd).reference is None


SENDGRID_EVENTS = [
    ({"event": "bounce", "status": "5.1.1", "reason": "550 5.1.1 no"}, "invalid"),
    ({"event": "bounce", "reason": "550 5.7.515 no", "type": "blocked"}, "authentication"),
    ({"event": "bounce", "bounce_classification": "Invalid Address"}, "invalid"),
    ({"event": "bounce", "bounce_classification": "Reputation"}, "blocked"),
    ({"event": "bounce", "status": "5.0.0", "reason": "mailbox full"}, "full"),
    ({"event": "dropped", "reason": "Bounced Address"}, "invalid"),
    ({"event": "dropped", "reason": "Unsubscribed Address"}, "unsubscribed"),
    ({"event": "dropped", "reason": "Spam Reporting Address"}, "unsubscribed"),
    ({"event": "dropped", "reason": "Recipient List over Package Quota"}, "ours"),
    ({"event": "dropped", "reason": "something new"}, "other"),
]


@pytest.mark.parametrize(("event", "reason"), SENDGRID_EVENTS)
def test_the_reasons_of_sendgrid(event: Any, reason: str) -> None:
    report = sendgrid(**event)
    assert (report.kind, report.reason) == (ReportKind.BOUNCED, reason)


def failed(**status: Any) -> Any:
    return {"event": "failed", "severity": "permanent", "delivery-status": status}


MAILGUN_EVENTS = [
    (failed(**{"enhanced-code": "5.1.1", "code": 550}), "invalid"),
    (failed(message="550 5.7.26 unauthenticated"), "authentication"),
    (failed() | {"reason": "suppress-bounce"}, "invalid"),
    (failed() | {"reason": "suppress-complaint"}, "unsubscribed"),
    (failed() | {"reason": "bounce"}, "invalid"),
    (failed() | {"reason": "old"}, "timed_out"),
    ({"event": "rejected", "reject": {"reason": "virus"}}, "ours"),
]


@pytest.mark.parametrize(("data", "reason"), MAILGUN_EVENTS)
def test_the_reasons_of_mailgun(data: Any, reason: str) -> None:
    report = mailgun(**data)
    assert (report.kind, report.reason) == (ReportKind.BOUNCED, reason)


def test_a_temporary_failure_is_only_a_delay() -> None:
    data = failed(message="421 4.7.0 try again later") | {"severity": "temporary"}
    assert mailgun(**data).kind is ReportKind.DEFERRED
