"""The picture of the system, read from real servers and rows."""

import json
import time
from datetime import timedelta

import pytest
from django.db.models.functions import Now
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries
from waffle.models import Switch

from guests.overview.problems import Severity, problems_of, severity_of
from guests.overview.system import Load, read_rows, read_system
from notifications.models import Email
from snap.models import HostReading, Mode
from snap.monitor.changes import set_mode
from snap.monitor.samples import Sample
from snap.observability.readings import Reading
from tests.factories import make_account, make_event, make_request, make_staff
from tests.helpers.own_servers import own_postgresql, valkey_without_writes

# Queries of `read_rows`, however many rows there are.
QUERIES = 10


def store_host(name: str, seconds: float, **counts: float) -> None:
    """Store a reading of a host, with what it counted in the last ten seconds."""
    durations = {"100.0": counts.get("fast", 0.0), "5000.0": counts["requests"]}
    durations["+Inf"] = counts["requests"]
    sample = Sample(
        1.0,
        Reading(
            at=1.0,
            requests=counts["requests"],
            errors=counts.get("errors", 0.0),
            duration_sum_ms=50.0 * counts["requests"],
            duration_ms=durations,
        ),
    )
    reading = Reading(at=1.0, memory={"web-1": 130_000_000}, sockets=7)
    values = reading.to_json() | {"samples": [sample.to_json()]}
    HostReading.objects.create(host=name, values=values)
    HostReading.objects.filter(pk=name).update(read_at=Now() - timedelta(seconds=seconds))


@pytest.mark.django_db
def test_a_new_installation_has_nothing_but_health() -> None:
    rows = read_rows()
    assert rows.hosts == ()
    assert rows.load is None
    assert rows.switches_off == ()
    assert [mode.is_on for mode in rows.modes] == [False] * len(rows.modes)
    assert rows.emails == {}
    assert 0 < rows.connections <= rows.max_connections


@pytest.mark.django_db
def test_the_load_is_that_of_all_hosts_that_report() -> None:
    store_host("alfa", 2.0, requests=300.0, errors=30.0, fast=300.0)
    store_host("beta", 3.0, requests=300.0, fast=0.0)
    store_host("gone", 90.0, requests=9_000.0, errors=9_000.0)
    rows = read_rows()
    assert [host.name for host in rows.hosts] == ["alfa", "beta"]
    assert rows.hosts[0].memory == {"web-1": 130_000_000}
    assert rows.hosts[0].sockets == 7
    assert isinstance(rows.load, Load)
    assert rows.load.requests_per_second == 20.0
    assert rows.load.error_percent == 5.0
    assert rows.load.average_ms == 50.0
    assert 4_000 < rows.load.response_ms < 5_000


@pytest.mark.django_db
def test_modes_and_switches_are_told_without_what_staff_wrote() -> None:
    make_reason = "Ana Sousa asked for it"
    set_mode("queue", is_on=True, minutes=30, reason=make_reason, by=make_staff())
    Mode.objects.get_or_create(pk="emergency")
    Switch.objects.update_or_create(name="qr_pool", defaults={"active": False})
    rows = read_rows()
    modes = {mode.name: mode for mode in rows.modes}
    assert modes["queue"].is_on
    assert modes["queue"].until is not None
    assert modes["queue"].until > timezone.now()
    assert not modes["emergency"].is_on
    assert rows.switches_off == ("qr_pool",)
    assert make_reason not in str(rows)


@pytest.mark.django_db
def test_it_has_no_personal_data() -> None:
    account = make_account(first_name="Florbela", email="florbela@lista.example")
    request = make_request(make_event(), account)
    Email.objects.create(kind="welcome", cause="1", to=account.email)
    text = json.dumps(read_system().to_json())
    for secret in (account.phone, account.first_name, account.email, request.ticket_id):
        assert str(secret) not in text, secret


@pytest.mark.django_db
def test_its_queries_do_not_grow(django_assert_num_queries: DjangoAssertNumQueries) -> None:
    with django_assert_num_queries(QUERIES):
        read_rows()
    event = make_event()
    for number in range(5):
        make_request(event)
        store_host(f"host-{number}", 1.0, requests=1.0)
        Email.objects.create(kind="welcome", cause=str(number), to="a@b.example")
    with django_assert_num_queries(QUERIES):
        read_rows()


@pytest.mark.django_db(transaction=True)
def test_a_command_counts_no_email_that_waits_for_a_switch() -> None:
    """A command has no thread that follows the switches."""
    Email.objects.create(kind="welcome", cause="1", to="a@b.example")
    rows = read_system().rows
    assert rows is not None
    assert rows.queues.emails["bulk"].depth == 1
    Switch.objects.update_or_create(name="emails_welcome", defaults={"active": False})
    rows = read_system().rows
    assert rows is not None
    assert rows.queues.emails["bulk"].depth == 0


@pytest.mark.slow
@pytest.mark.usefixtures("stoppable_database")
def test_it_is_told_while_the_database_is_away() -> None:
    own_postgresql().stop("immediate")
    began = time.monotonic()
    system = read_system()
    assert time.monotonic() - began < 8
    assert not system.health.database
    assert system.health.level == 3
    assert system.rows is None
    assert system.journal_depth == 0
    assert severity_of(problems_of(system)) == Severity.DOWN


@pytest.mark.django_db(transaction=True)
def test_it_is_told_while_redis_takes_no_writes() -> None:
    with valkey_without_writes():
        system = read_system()
    assert not system.health.redis
    assert system.rows is not None
    assert "RedisAway" in [problem.heading for problem in problems_of(system)]
