"""Reports and rows: the same reports lead to the same row, in any order and however often."""

from datetime import timedelta
from itertools import permutations
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from pytest_django import Settings

from notifications.bounces import BounceReason
from notifications.models import Email, Suppression
from notifications.references import Reference
from notifications.reports import FORWARD, Report, ReportKind, on_bounced, record_reports

pytestmark = pytest.mark.django_db

NOW = timezone.now().replace(microsecond=0)
AT = {
    ReportKind.ACCEPTED: NOW - timedelta(minutes=9),
    ReportKind.DEFERRED: NOW - timedelta(minutes=8),
    ReportKind.DELIVERED: NOW - timedelta(minutes=7),
    ReportKind.OPENED: NOW - timedelta(minutes=5),
    ReportKind.BOUNCED: NOW - timedelta(minutes=6),
    ReportKind.COMPLAINED: NOW - timedelta(minutes=4),
}


def make_email(**fields: Any) -> Email:
    given = {
        "kind": "qr_code",
        "cause": f"account:{Email.objects.count()}",
        "to": "rita@example.com",
        "language": "pt",
        "state": "sent",
        "provider": "resend",
        "provider_id": f"id-{Email.objects.count()}",
        "queued_at": NOW - timedelta(hours=1),
        "sent_at": NOW - timedelta(minutes=10),
    }
    return Email.objects.create(**given | fields)


def about(email: Email, kind: ReportKind, **fields: Any) -> Report:
    given: dict[str, Any] = {"at": AT[kind], "provider_id": email.provider_id}
    given["reason"] = BounceReason.INVALID
    return Report(kind=kind, **given | fields)


def named(email: Email, kind: ReportKind, provider_id: str = "new-id", **fields: Any) -> Report:
    """Return a report that names the row by its reference."""
    reference = Reference.of(email.pk, email.queued_at)
    return about(email, kind, provider_id=provider_id, reference=reference, **fields)


def row_of(email: Email) -> dict[str, Any]:
    """Return what reports change of an email."""
    found = Email.objects.get(pk=email.pk)
    names = ("state", "error", "provider", "provider_id", "sent_at", "delivered_at", "opened_at")
    return {name: getattr(found, name) for name in (*names, "bounced_at", "complained_at")}


@pytest.mark.slow
@pytest.mark.parametrize("first_state", ["queued", "sent"])
def test_the_order_of_reports_makes_no_difference(settings: Settings, first_state: str) -> None:
    settings.EMAIL_OPEN_TRACKING = True
    kinds = (ReportKind.DELIVERED, ReportKind.BOUNCED, ReportKind.OPENED, ReportKind.COMPLAINED)
    for chosen in (kinds[:2], kinds[:3], kinds, kinds[1:], (kinds[0], kinds[2])):
        rows = []
        for order in permutations(chosen):
            email = make_email(state=first_state)
            for kind in order:
                record_reports("resend", [named(email, kind, provider_id=email.provider_id)])
            rows.append(row_of(email))
        for row in rows:
            # Without a recorded response the first report is the time of sending.
            ignored = {"provider_id"} | ({"sent_at"} if first_state == "queued" else set())
            assert {k: v for k, v in row.items() if k not in ignored} == {
                k: v for k, v in rows[0].items() if k not in ignored
            }


@pytest.mark.parametrize("kind", list(ReportKind))
def test_a_report_that_comes_again_changes_nothing(settings: Settings, kind: ReportKind) -> None:
    settings.EMAIL_OPEN_TRACKING = True
    email = make_email()
    record_reports("resend", [about(email, kind)])
    once = row_of(email)
    assert record_reports("resend", [about(email, kind)] * 3) == 0
    later = about(email, kind, at=NOW)
    assert record_reports("resend", [later]) == 0
    assert row_of(email) == once


@pytest.mark.parametrize("kind", list(ReportKind))
@pytest.mark.parametrize("state", Email.State.values)
def test_no_report_moves_an_email_back(settings: Settings, state: str, kind: ReportKind) -> None:
    settings.EMAIL_OPEN_TRACKING = True
    email = make_email(state=state)
    record_reports("resend", [about(email, kind), named(email, kind)])
    after = Email.objects.get(pk=email.pk).state
    if state in FORWARD:
        assert FORWARD.index(Email.State(after)) >= FORWARD.index(Email.State(state))
    else:
        assert after == state


def test_each_time_is_kept() -> None:
    email = make_email()
    for kind in (ReportKind.DELIVERED, ReportKind.BOUNCED, ReportKind.COMPLAINED):
        record_reports("resend", [about(email, kind)])
    row = row_of(email)
    assert row["state"] == "complained"
    assert row["delivered_at"] == AT[ReportKind.DELIVERED]
    assert row["bounced_at"] == AT[ReportKind.BOUNCED]
    assert row["complained_at"] == AT[ReportKind.COMPLAINED]


def test_a_time_that_cannot_be_is_not_believed() -> None:
    early, late, without = make_email(), make_email(), make_email()
    reports = [
        about(early, ReportKind.DELIVERED, at=NOW - timedelta(days=900)),
        about(late, ReportKind.DELIVERED, at=NOW + timedelta(days=900)),
        about(without, ReportKind.DELIVERED, at=None),
    ]
    record_reports("resend", reports)
    assert row_of(early)["delivered_at"] == early.queued_at
    for email in (late, without):
        delivered_at = row_of(email)["delivered_at"]
        assert abs(delivered_at - timezone.now()) < timedelta(minutes=1)


def test_a_late_bounce_counts_and_a_deferral_is_only_noted() -> None:
    email = make_email()
    record_reports("resend", [about(email, ReportKind.DEFERRED, code="4.2.2")])
    assert row_of(email)["state"] == "sent"
    assert row_of(email)["error"] == "deferred 4.2.2"
    record_reports("resend", [about(email, ReportKind.DELIVERED)])
    assert (row_of(email)["state"], row_of(email)["error"]) == ("delivered", "")
    record_reports("resend", [about(email, ReportKind.DEFERRED, code="4.2.2")])
    assert (row_of(email)["state"], row_of(email)["error"]) == ("delivered", "")
    record_reports("resend", [about(email, ReportKind.BOUNCED, code="5.1.1")])
    assert (row_of(email)["state"], row_of(email)["error"]) == ("bounced", "bounced 5.1.1 invalid")


# Which row a report is about ----------------------------------------------------------------------


def test_a_report_settles_an_email_whose_response_was_lost() -> None:
    """No other provider gets it after that."""
    lost = make_email(state="queued", provider="", provider_id="", unsure_provider="sendgrid")
    record_reports("sendgrid", [named(lost, ReportKind.DELIVERED)])
    lost.refresh_from_db()
    assert (lost.state, lost.provider, lost.provider_id) == ("delivered", "sendgrid", "new-id")
    assert lost.unsure_provider == ""
    assert lost.delivered_at == AT[ReportKind.DELIVERED]
    assert lost.sent_at is not None


def test_a_report_may_be_faster_than_the_row() -> None:
    """A worker that holds the email finds it sent."""
    lease = timezone.now() + timedelta(minutes=1)
    claimed = make_email(state="queued", provider="", provider_id="", leased_until=lease)
    record_reports("mailgun", [named(claimed, ReportKind.ACCEPTED)])
    claimed.refresh_from_db()
    assert (claimed.state, claimed.provider, claimed.leased_until) == ("sent", "mailgun", None)


def test_a_report_on_an_earlier_sending_changes_nothing() -> None:
    """The row was queued again since, with or without the id from before."""
    email = make_email(state="queued", provider_id="old-id")
    before = Reference.of(email.pk, email.queued_at - timedelta(minutes=5))
    old = about(email, ReportKind.BOUNCED, provider_id="old-id", reference=before)
    assert record_reports("resend", [old]) == 0
    email = make_email(state="sent", provider_id="present-id")
    assert record_reports("resend", [old]) == 0
    assert row_of(email)["state"] == "sent"


@pytest.mark.parametrize("kind", list(ReportKind))
def test_no_report_is_believed_of_another_providers_email(kind: ReportKind) -> None:
    email = make_email(provider="sendgrid")
    assert record_reports("resend", [about(email, kind), named(email, kind)]) == 0
    assert row_of(email)["state"] == "sent"


def test_an_id_of_nobody_changes_nothing() -> None:
    email = make_email()
    for provider_id in ("", "another", "id-", "%", email.provider_id + "\\"):
        assert record_reports("resend", [Report(ReportKind.BOUNCED, provider_id=provider_id)]) == 0
    nobody = Reference(2**62, 1, Reference.of(1, NOW).installation)
    assert record_reports("resend", [Report(ReportKind.BOUNCED, reference=nobody)]) == 0
    assert row_of(email)["state"] == "sent"


def test_another_installation_of_snap_has_its_own_references(settings: Settings) -> None:
    """A staging site may use the same account of a provider."""
    text = str(Reference.of(17, NOW))
    assert Reference.parse(text) == Reference.of(17, NOW)
    for odd in ("", "17", "17-1", text + "0", text.replace("-", "_"), "²-1-00000000"):
        assert Reference.parse(odd) is None
    settings.PUBLIC_URL = "https://staging.snap.example"
    assert Reference.parse(text) is None


def test_an_email_of_the_previous_release_has_no_provider_on_its_row() -> None:
    email = make_email(provider="")
    record_reports("resend", [about(email, ReportKind.DELIVERED)])
    assert (row_of(email)["state"], row_of(email)["provider"]) == ("delivered", "resend")


# What follows -------------------------------------------------------------------------------------


def test_a_complaint_stops_bulk_emails_and_is_no_bounce() -> None:
    email = make_email(to="Rita+festa@example.com", state="delivered")
    record_reports("resend", [about(email, ReportKind.COMPLAINED)] * 2)
    assert (row_of(email)["state"], row_of(email)["bounced_at"]) == ("complained", None)
    suppression = Suppression.objects.get()
    assert (suppression.recipient, suppression.reason) == ("rita@example.com", "complained")


def test_openings_are_stored_only_with_open_tracking(settings: Settings) -> None:
    email = make_email()
    assert record_reports("resend", [about(email, ReportKind.OPENED)]) == 0
    assert (row_of(email)["state"], row_of(email)["opened_at"]) == ("sent", None)
    settings.EMAIL_OPEN_TRACKING = True
    assert record_reports("resend", [about(email, ReportKind.OPENED)]) == 1
    assert row_of(email)["opened_at"] == AT[ReportKind.OPENED]


def test_apps_hear_of_each_bounce_once(django_capture_on_commit_callbacks: Any) -> None:
    heard: list[int] = []
    emails = [make_email(), make_email()]

    def hear(bounced: Any) -> None:
        heard.extend(email.pk for email in bounced)

    on_bounced.append(hear)
    try:
        for _ in range(2):
            with django_capture_on_commit_callbacks(execute=True):
                reports = [about(email, ReportKind.BOUNCED) for email in emails]
                record_reports("resend", [*reports, about(emails[0], ReportKind.DELIVERED)])
    finally:
        on_bounced.remove(hear)
    assert heard == [email.pk for email in emails]


@pytest.mark.parametrize("number", [1, 40, pytest.param(400, marks=pytest.mark.slow)])
def test_a_batch_takes_three_queries(number: int) -> None:
    emails = [make_email(cause=f"account:{index}") for index in range(number)]
    reports = []
    for email in emails:
        reports += [about(email, ReportKind.DELIVERED), named(email, ReportKind.DEFERRED)]
    with CaptureQueriesContext(connection) as captured:
        changed = record_reports("resend", reports[:500])
    statements = [query["sql"] for query in captured if "SAVEPOINT" not in query["sql"]]
    assert len(statements) == 3
    assert changed == min(number, 250)
