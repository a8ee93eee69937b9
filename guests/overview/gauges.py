"""Gauges about the rows of the database and about this host, which the sweeper sets.

They are counted from the rows. What workers report of themselves drifts when one is killed. The
values vanish with the sweeper: an alert tells that.
"""

from time import time
from typing import Final

from prometheus_client import Gauge

from guests.overview.queues import BULK, CODES, Queue, read_journal, read_queues
from guests.overview.success import success_percent
from notifications.email_metrics import begin_at_zero
from notifications.kinds import known_kinds
from notifications.models import Email
from notifications.providers import providers
from snap.monitor.connections import connection_limit, read_connections
from snap.observability.health import read_health

# Of several processes the latest value is shown: a command may run the sweeps, too.
LATEST: Final = "livemostrecent"

requests_depth = Gauge(
    "guest_creation_queue_depth",
    "Requests whose turn has come and that have not ended",
    multiprocess_mode=LATEST,
)
requests_age = Gauge(
    "guest_creation_oldest_age_seconds",
    "Seconds since the turn of the oldest of these requests",
    multiprocess_mode=LATEST,
)
requests_in_line = Gauge(
    "guest_requests_in_line",
    "Requests that were accepted past a limit and whose turn comes later",
    multiprocess_mode=LATEST,
)
requests_dead = Gauge(
    "guest_requests_dead",
    "Requests and journal entries that failed all their attempts",
    multiprocess_mode=LATEST,
)
emails_depth = Gauge(
    "emails_queue_depth", "Emails that are not sent yet", ["lane"], multiprocess_mode=LATEST
)
emails_age = Gauge(
    "emails_oldest_age_seconds",
    "Seconds since the oldest of these emails was queued",
    ["lane"],
    multiprocess_mode=LATEST,
)
emails_dead = Gauge(
    "emails_dead", "Emails that failed all their attempts", multiprocess_mode=LATEST
)
journal_depth = Gauge(
    "journal_queue_depth",
    "Entries of this host's emergency journal that are not in the database yet; NaN: unreadable",
    multiprocess_mode=LATEST,
)
journal_age = Gauge(
    "journal_oldest_age_seconds",
    "Seconds since the oldest of these entries was accepted; NaN: unreadable",
    multiprocess_mode=LATEST,
)
success = Gauge(
    "end_to_end_success_percent",
    "Of the requests whose turn came 60 to 360 seconds ago, the share that ended within 60 seconds",
    multiprocess_mode=LATEST,
)
level = Gauge(
    "service_level",
    "1 normal, 2 direct, 3 emergency, 4 nothing left, as the sweeper of this host sees it",
    multiprocess_mode=LATEST,
)
connections = Gauge(
    "database_connections",
    "Connections to the database, of all hosts and programs",
    multiprocess_mode=LATEST,
)
connections_limit = Gauge(
    "database_connections_limit",
    "Connections to the database above which queue mode begins",
    multiprocess_mode=LATEST,
)
read_at = Gauge(
    "queues_read_timestamp_seconds",
    "When the sweeper last read the queues, in seconds since 1970",
    multiprocess_mode=LATEST,
)

# What an email is counted for. Queued emails have gauges.
REACHED = [state.value for state in Email.State if state != Email.State.QUEUED]
NAN = float("nan")


def show_queues() -> None:
    """Set the gauges that the database tells. Seven short queries."""
    queues = read_queues()
    requests_depth.set(queues.requests.depth)
    requests_age.set(queues.requests.oldest_age)
    requests_in_line.set(queues.in_line)
    requests_dead.set(queues.dead_requests)
    for lane in (CODES, BULK):
        queue = queues.emails.get(lane, Queue())
        emails_depth.labels(lane).set(queue.depth)
        emails_age.labels(lane).set(queue.oldest_age)
    emails_dead.set(queues.dead_emails)
    success.set(success_percent())
    now = read_connections()
    connections.set(now.used)
    connections_limit.set(connection_limit(now.most))
    read_at.set(time())


def show_host() -> None:
    """Set the gauges of this host. Asks each server, and needs none of them."""
    begin_at_zero(known_kinds(), REACHED, [provider.name for provider in providers()])
    level.set(read_health().level)
    journal = read_journal()
    journal_depth.set(NAN if journal is None else journal.depth)
    journal_age.set(NAN if journal is None else journal.oldest_age)
