"""Metrics of emails: the states that they reach, and how long the way to the mailbox takes."""

from collections.abc import Iterable
from datetime import timedelta

from prometheus_client import Counter, Histogram

SECOND, MINUTE, HOUR = 1_000, 60_000, 3_600_000
emails = Counter("emails", "Emails that reached a state, by their kind", ["kind", "state"])
emails_by_provider = Counter(
    "emails_by_provider",
    "Emails that reached a state, by their provider; `none` if none accepted it",
    ["provider", "state"],
)
batch_sizes = Histogram(
    "email_batch_size",
    "Emails that a worker claims and builds at once",
    buckets=(1, 2, 5, 10, 20, 50, 100),
)
delivery_duration = Histogram(
    "email_delivery_duration_ms",
    "From the provider's acceptance of an email to its delivery, as the provider reports it",
    buckets=[
        *(SECOND, 2 * SECOND, 5 * SECOND, 10 * SECOND, 30 * SECOND),
        *(MINUTE, 5 * MINUTE, 30 * MINUTE, 2 * HOUR, 12 * HOUR),
    ],
)


def count_emails(reached: Iterable[tuple[str, str, str]]) -> None:
    """Count emails that reached a state, each given as its kind, state and provider."""
    for kind, state, provider in reached:
        emails.labels(kind=kind, state=state).inc()
        emails_by_provider.labels(provider=provider or "none", state=state).inc()


def begin_at_zero(kinds: Iterable[str], states: Iterable[str], providers: Iterable[str]) -> None:
    """Show each count of emails before its first email, at 0. What is counted stays.

    Prometheus cannot see the increase of a count that appears with its first email. The sweeper of
    a host shows them for all processes: in each process they would make `/metrics` slow.
    """
    for state in states:
        for kind in kinds:
            emails.labels(kind=kind, state=state)
        for provider in providers:
            emails_by_provider.labels(provider=provider, state=state)


def observe_delivery(duration: timedelta) -> None:
    """Count the time from the acceptance of an email to its delivery. Clocks may differ."""
    delivery_duration.observe(max(0.0, duration.total_seconds() * 1000))
