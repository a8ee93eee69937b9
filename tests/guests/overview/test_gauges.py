"""The gauges that the sweeper sets from the rows and about its host."""

import re

import pytest
from django.conf import settings
from django.core.management import call_command
from django.db.models.functions import Now
from prometheus_client import REGISTRY

from guests.models import GuestRequest
from guests.overview.gauges import show_host, show_queues
from notifications.email_metrics import emails, emails_by_provider
from notifications.kinds import known_kinds
from notifications.models import Email
from snap.monitor.connections import read_connections
from tests.factories import make_event, make_request
from tests.helpers.own_servers import own_postgresql
from tests.helpers.watching import rules

pytestmark = pytest.mark.django_db


def shown(name: str, **labels: str) -> float | None:
    return REGISTRY.get_sample_value(name, labels)


def test_the_queues_are_shown() -> None:
    make_request(make_event())
    Email.objects.create(kind="welcome", cause="1", to="a@b.example", fast=True)
    show_queues()
    assert shown("guest_creation_queue_depth") == 1
    assert shown("guest_requests_in_line") == 0
    assert shown("emails_queue_depth", lane="codes") == 1
    assert (shown("guest_requests_dead"), shown("emails_dead")) == (0, 0)
    assert shown("end_to_end_success_percent") == 100
    assert (shown("database_connections") or 0) >= 1
    assert (shown("queues_read_timestamp_seconds") or 0) > 1_700_000_000


def test_what_is_over_is_not_shown_any_more() -> None:
    request = make_request(make_event())
    show_queues()
    rows = GuestRequest.objects.filter(pk=request.pk)
    rows.update(state="refused", refusal="closed", ended_at=Now())
    show_queues()
    assert shown("guest_creation_queue_depth") == 0
    assert shown("guest_creation_oldest_age_seconds") == 0


def test_the_limit_of_connections_is_that_of_the_monitor_and_of_the_server(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(settings, "MONITOR_CONNECTIONS", 7)
    show_queues()
    assert shown("database_connections_limit") == 7
    monkeypatch.setattr(settings, "MONITOR_CONNECTIONS", 1_000_000)
    show_queues()
    most = read_connections().most
    assert shown("database_connections_limit") == pytest.approx(0.8 * most)


def test_counts_of_emails_are_shown_before_the_first_email() -> None:
    emails.clear()
    emails_by_provider.clear()
    show_host()
    for kind in known_kinds():
        assert shown("emails_total", kind=kind, state="bounced") == 0
    first = settings.EMAIL_PROVIDER
    assert shown("emails_by_provider_total", provider=first, state="bounced") == 0
    emails.labels(kind="welcome", state="sent").inc()
    show_host()
    assert shown("emails_total", kind="welcome", state="sent") == 1


INCREASES = re.compile(r"(?:increase|rate)\((\w+)\{([^}]*)\}")
# The counts of requests are too many to begin at 0. Their alerts need errors for minutes.
NEVER_EMPTY = {"http_requests_total", "http_request_duration_ms_bucket"}
NEVER_EMPTY |= {"http_request_duration_ms_count"}


def test_the_counts_of_alerts_are_shown_before_their_first_event() -> None:
    emails.clear()
    show_host()
    samples = [sample for metric in REGISTRY.collect() for sample in metric.samples]
    found = 0
    for rule in rules().values():
        for name, match in INCREASES.findall(rule["expr"]):
            if name in NEVER_EMPTY:
                continue
            found += 1
            wanted = dict(re.findall(r'(\w+)="([^"]*)"', match))
            same_name = [sample.labels for sample in samples if sample.name == name]
            assert [labels for labels in same_name if wanted.items() <= labels.items()], name
    assert found >= 6


def test_the_level_is_shown_without_the_database() -> None:
    show_host()
    own_postgresql().stop("immediate")
    show_host()
    assert shown("service_level") == 3
    assert shown("journal_queue_depth") == 0


def test_a_journal_that_cannot_be_read_has_no_depth() -> None:
    settings.JOURNAL_PATH.parent.mkdir(parents=True, exist_ok=True)
    settings.JOURNAL_PATH.write_bytes(b"no database" * 1000)
    show_host()
    depth = shown("journal_queue_depth")
    assert depth is not None
    assert depth != depth  # NaN


def test_the_sweeper_sets_them() -> None:
    make_request(make_event())
    before = shown("queues_read_timestamp_seconds") or 0
    call_command("sweeper", once=True)
    assert (shown("queues_read_timestamp_seconds") or 0) > before
    assert shown("service_level") in {1, 2}
