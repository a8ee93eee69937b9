"""Outcomes and reports of the same emails are written at the same time."""

import random
import threading
from collections.abc import Callable

import pytest
from django.db import connection
from django.utils import timezone

from notifications.delivery import Outcome, Result
from notifications.models import Email
from notifications.recording import write_outcomes
from notifications.reports import Report, ReportKind, record_reports

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]

NUMBER = 600
ROUNDS = 3


def run_at_once(*works: Callable[[], None]) -> list[Exception]:
    """Run functions in threads. Return what they raised."""
    errors: list[Exception] = []

    def run(work: Callable[[], None]) -> None:
        try:
            work()
        except Exception as error:  # noqa: BLE001 (the test shows it)
            errors.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=run, args=[work]) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return errors


def shuffled(emails: list[Email]) -> list[Email]:
    return random.sample(emails, len(emails))


def write(emails: list[Email]) -> None:
    for start in range(0, NUMBER, 200):
        some = emails[start : start + 200]
        write_outcomes(
            [(email, Outcome(Result.SENT, f"id-{email.pk}", provider="mailgun")) for email in some]
        )


def report(emails: list[Email]) -> None:
    now = timezone.now()
    record_reports(
        "mailgun", [Report(ReportKind.DELIVERED, now, f"id-{email.pk}") for email in emails]
    )


def test_outcomes_and_reports_do_not_deadlock() -> None:
    fields = {"kind": "welcome", "to": "rita@example.com", "language": "pt"}
    # Two releases send them. Sent rows have an id already, so that reports lock them.
    Email.objects.bulk_create(Email(cause=f"account:{each}", **fields) for each in range(NUMBER))
    for email in Email.objects.all():
        email.provider_id = f"id-{email.pk}"
        email.save(update_fields=["provider_id"])
    emails = list(Email.objects.all())
    errors = []
    for _ in range(ROUNDS):
        Email.objects.update(state="queued")
        works: list[Callable[[], None]] = []
        for work in (write, write, report, report):
            mixed = shuffled(emails)
            works.append(lambda work=work, mixed=mixed: work(mixed))  # type: ignore[misc]
        errors += run_at_once(*works)
    assert errors == []
