"""What staff and operators see of the reports on emails: admin, and metrics."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from prometheus_client import REGISTRY

from guests.models import Guest
from notifications.bounces import BounceReason
from notifications.models import Email
from notifications.reports import Report, ReportKind, record_reports
from tests.factories import make_guest
from tests.helpers.admin import admin_url

pytestmark = pytest.mark.django_db

AT = datetime(2026, 7, 1, 22, 4, tzinfo=UTC)  # 23:04 in Lisbon
SHOWN = "23:04"


@pytest.fixture
def email(guest: Guest) -> Email:
    Email.objects.filter(kind="qr_code").update(
        state="sent", provider="resend", provider_id="id-1", sent_at=AT, queued_at=AT
    )
    return Email.objects.get(kind="qr_code")


def report(kind: ReportKind, **fields: Any) -> None:
    assert record_reports("resend", [Report(kind, at=AT, provider_id="id-1", **fields)]) == 1


def pages_about(email: Email, guest: Guest) -> dict[str, str]:
    return {
        "emails": admin_url("notifications_email_changelist"),
        "email": admin_url("notifications_email_change", email.pk),
        "guests": admin_url("guests_guest_changelist"),
        "guest": admin_url("guests_guest_change", guest.pk),
        "account": admin_url("accounts_user_change", guest.account_id),
    }


def test_every_page_shows_what_became_of_an_email(
    admin: Client, guest: Guest, email: Email
) -> None:
    report(ReportKind.DELIVERED)
    for name, path in pages_about(email, guest).items():
        page = admin.get(path).content.decode()
        assert "entregue" in page, name
        assert SHOWN in page, name
    report(ReportKind.BOUNCED, reason=BounceReason.INVALID, code="5.1.1")
    for name, path in pages_about(email, guest).items():
        page = admin.get(path).content.decode()
        assert "O endereço não existe. 5.1.1" in page, name


def test_a_complaint_is_no_bounce(admin: Client, guest: Guest, email: Email) -> None:
    report(ReportKind.COMPLAINED)
    for name, path in pages_about(email, guest).items():
        page = admin.get(path).content.decode()
        assert "marcado como spam" in page, name
        assert "não chegam" not in page, name


def test_a_fault_of_ours_is_not_the_addresss(admin: Client, guest: Guest, email: Email) -> None:
    report(ReportKind.BOUNCED, reason=BounceReason.AUTHENTICATION, code="5.7.26")
    for path in pages_about(email, guest).values():
        page = admin.get(path).content.decode()
        assert "5.7.26" in page
        assert "O endereço não existe" not in page
        # The page of a guest asks staff to correct an address that is the reason.
        assert "não chegam" not in page


def test_staff_find_emails_by_provider_and_by_reason(admin: Client, email: Email) -> None:
    url = admin_url("notifications_email_changelist")

    def found(**query: str) -> int:
        return int(admin.get(url, query).context["cl"].result_count)

    report(ReportKind.BOUNCED, reason=BounceReason.AUTHENTICATION, code="5.7.26")
    assert found(reason="ours") == 1
    assert found(reason="address") == 0
    assert found(provider__exact="resend") == 1
    assert found(provider__exact="mailgun") == 0
    everything = Email.objects.count()
    assert found(reason="' OR 1=1") == everything


def test_emails_are_counted_by_kind_state_and_provider(
    email: Email, django_capture_on_commit_callbacks: Any
) -> None:
    def value(name: str, **labels: str) -> float:
        return REGISTRY.get_sample_value(name, labels) or 0.0

    labels = {"kind": "qr_code", "state": "delivered"}
    of_provider = {"provider": email.provider or "none", "state": "delivered"}
    before = value("emails_total", **labels), value("email_delivery_duration_ms_sum")
    before_of_provider = value("emails_by_provider_total", **of_provider)
    for _ in range(2):
        with django_capture_on_commit_callbacks(execute=True):
            at = AT + timedelta(seconds=3)
            record_reports("resend", [Report(ReportKind.DELIVERED, at=at, provider_id="id-1")])
    assert value("emails_total", **labels) == before[0] + 1
    assert value("emails_by_provider_total", **of_provider) == before_of_provider + 1
    assert value("email_delivery_duration_ms_sum") == before[1] + 3000


def test_the_list_of_guests_reads_all_emails_in_one_query(admin: Client) -> None:
    for _ in range(3):
        make_guest()
    with CaptureQueriesContext(connection) as captured:
        admin.get(admin_url("guests_guest_changelist"))
    assert sum("notifications_email" in query["sql"] for query in captured) == 1
