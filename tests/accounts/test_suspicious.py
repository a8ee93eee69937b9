"""Suspicious activity: it is counted in few rows, and recording it never fails a request."""

from datetime import timedelta

import pytest
from django.core.management import call_command
from django.db import connection
from django.db.models.functions import Now
from django.test import Client
from pytest_django import Settings

from accounts.models import BlockedPhone, SuspiciousActivity, User
from accounts.suspicious import note_suspicious
from tests.factories import make_account, make_event
from tests.helpers.outages import open_breaker
from tests.helpers.visitors import Visitor

pytestmark = pytest.mark.django_db


def counts() -> dict[str, int]:
    return dict(SuspiciousActivity.objects.values_list("reason", "count"))


def test_repeated_activity_raises_a_count() -> None:
    for _ in range(20):
        note_suspicious("wrong_code", phone="+351912345678", address="192.0.2.7")
    row = SuspiciousActivity.objects.get()
    assert (row.count, row.address) == (20, "192.0.2.7")
    assert "912345678" not in row.phone_hash


def test_rotating_addresses_do_not_fill_the_disk(settings: Settings) -> None:
    settings.SUSPICIOUS_ROWS_AN_HOUR = 5
    for n in range(30):
        note_suspicious("limit_ip", address=f"198.51.100.{n}")
    assert SuspiciousActivity.objects.count() == 6
    assert SuspiciousActivity.objects.get(address="").count == 25
    note_suspicious("limit_ip", address="198.51.100.1")
    assert SuspiciousActivity.objects.get(address="198.51.100.1").count == 2


def test_wrong_codes_and_too_many_of_them_are_noted() -> None:
    account, visitor = make_account(), Visitor(make_event())
    visitor.give_phone(account.phone or "")
    for _ in range(7):
        visitor.send("code", code="000000")
    assert counts() == {"wrong_code": 5, "too_many_tries": 2}
    assert set(SuspiciousActivity.objects.values_list("address", flat=True)) == {"127.0.0.1"}


def test_throttled_codes_blocked_phones_and_claims_are_noted(settings: Settings) -> None:
    settings.LOGIN_CODES_PER_PHONE = 2
    account, visitor = make_account(), Visitor(make_event())
    visitor.give_phone(account.phone or "")
    visitor.send("claim", first_name="Eva", last_name="Exemplo", email="eva@example.org")
    visitor.send("code", resend="1")
    visitor.send("code", resend="1")
    BlockedPhone.objects.create(phone=account.phone or "", reason="fraud")
    visitor.send("code", resend="1")
    BlockedPhone.objects.create(phone="+351939", is_prefix=True, reason="fraud")
    newcomer = Visitor(visitor.event)
    newcomer.give_phone("+351 939 999 992")
    newcomer.register()
    assert counts() == {"claim": 1, "code_throttle": 1, "blocked_phone": 1}
    assert SuspiciousActivity.objects.filter(reason="blocked_phone").count() == 2


def test_the_log_does_not_contain_the_phone(caplog: pytest.LogCaptureFixture) -> None:
    note_suspicious("claim", phone="+351912345678", address="2001:db8::1")
    (record,) = [each for each in caplog.records if each.message == "suspicious_activity"]
    assert (vars(record)["reason"], vars(record)["address"]) == ("claim", "2001:db8::/64")
    assert "912345678" not in str(vars(record))


def test_nothing_fails_without_the_table_or_the_database() -> None:
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE accounts_suspiciousactivity RENAME TO away")
    note_suspicious("claim", phone="+351912345678")
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE away RENAME TO accounts_suspiciousactivity")
    with open_breaker():
        note_suspicious("claim", phone="+351912345678")
    assert counts() == {}


def test_the_sweeper_deletes_old_rows(settings: Settings) -> None:
    note_suspicious("claim", address="192.0.2.1")
    SuspiciousActivity.objects.update(
        last_seen=Now() - timedelta(days=settings.SUSPICIOUS_DAYS, hours=1)
    )
    note_suspicious("wrong_code", address="192.0.2.1")
    call_command("sweeper", "--once")
    assert counts() == {"wrong_code": 1}


def test_only_staff_with_the_permission_see_suspicious_activity(
    manager: User, door_staff: User
) -> None:
    note_suspicious("claim", address="192.0.2.9")
    url = "/admin/accounts/suspiciousactivity/"
    for account, status in ((manager, 200), (door_staff, 403), (make_account(), 302)):
        browser = Client()
        browser.force_login(account)
        shown = browser.get(url)
        assert shown.status_code == status
        assert ("192.0.2.9" in shown.content.decode()) == (status == 200)
    assert Client().get(url).status_code == 302
