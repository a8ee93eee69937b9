"""Mailboxes refuse emails because our domain is not authenticated. That is ours to mend."""

import logging
from time import monotonic
from typing import Any

import pytest
from django.core.cache import cache

from notifications.bounces import BounceReason
from notifications.mending import REFUSALS_IN_A_ROW, Mending, mending_notices
from notifications.models import Email
from notifications.reports import Report, ReportKind, record_reports

pytestmark = pytest.mark.django_db


@pytest.fixture
def report(django_capture_on_commit_callbacks: Any) -> Any:
    """Report what happened to so many emails, each in a report of its own."""
    numbers = iter(range(1000))

    def report(kind: ReportKind, number: int = 1, reason: str = "authentication") -> None:
        for _ in range(number):
            key = f"id-{next(numbers)}"
            fields = {"kind": "welcome", "to": "rita@example.com", "language": "pt"}
            fields |= {"state": "sent", "provider": "mailgun", "provider_id": key}
            Email.objects.create(cause=f"account:{key}", **fields)
            about = Report(kind, provider_id=key, reason=BounceReason(reason), code="5.7.26")
            with django_capture_on_commit_callbacks(execute=True):
                assert record_reports("mailgun", [about]) == 1

    return report


def sender() -> Mending:
    """Return the provider as a process sees it that sends emails."""
    return Mending("mailgun")


def test_staff_and_operators_hear_of_the_first_refusal(
    report: Any, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.ERROR):
        report(ReportKind.BOUNCED)
    assert "emails_refused_for_our_fault" in caplog.messages
    assert mending_notices(["mailgun", "resend"]) == {"mailgun": "5.7.26"}
    # An address that forwards its emails breaks their authentication: one refusal stops nothing.
    assert sender().allows()


def test_refusals_in_a_row_stop_the_provider_in_every_process(report: Any) -> None:
    process, another = sender(), sender()
    report(ReportKind.BOUNCED, REFUSALS_IN_A_ROW)
    assert not process.allows()
    assert not another.allows()
    assert Mending("resend").allows()


def test_a_delivery_says_that_our_domain_is_trusted(report: Any) -> None:
    for _ in range(3):
        report(ReportKind.BOUNCED, REFUSALS_IN_A_ROW - 1)
        report(ReportKind.DELIVERED)
    assert sender().allows()


def test_a_delivery_ends_what_refusals_have_stopped(report: Any) -> None:
    report(ReportKind.BOUNCED, REFUSALS_IN_A_ROW)
    stopped = sender()
    assert not stopped.allows()
    report(ReportKind.DELIVERED)
    stopped.succeeded(monotonic())
    stopped._next_look_at = 0.0
    assert stopped.allows()
    assert stopped.allows()
    assert not stopped.is_needed


def test_other_bounces_stop_nothing(report: Any, caplog: pytest.LogCaptureFixture) -> None:
    report(ReportKind.BOUNCED, 2 * REFUSALS_IN_A_ROW, reason="invalid")
    assert sender().allows()
    assert mending_notices(["mailgun"]) == {}
    assert not [each for each in caplog.records if each.levelno >= logging.ERROR]


def test_processes_look_for_reports_seldom(report: Any) -> None:
    process = sender()
    assert process.allows()
    report(ReportKind.BOUNCED, REFUSALS_IN_A_ROW)
    assert process.allows()
    cache.clear()
