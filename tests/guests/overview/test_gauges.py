"""The gauges that the sweeper sets from the rows and about its host."""

import pytest
from django.conf import settings
from django.core.management import call_command
from django.db.models.functions import Now
from prometheus_client import REGISTRY

from guests.models import GuestRequest
from guests.overview.gauges import show_host, show_queues
from notifications.models import Email
from tests.factories import make_event, make_request
from tests.helpers.own_servers import own_postgresql

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
