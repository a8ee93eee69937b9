"""Suspicious activity: logged, and counted by hour for staff."""

import logging
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.db import Error, connection, transaction
from django.db.models import Sum
from django.db.models.functions import Now
from django.utils.crypto import salted_hmac

from accounts.models import SuspiciousActivity
from accounts.models.suspicious import reason_in_words
from snap.addresses import normal_address
from snap.resilience.database import database_breaker

log = logging.getLogger(__name__)

# Past SUSPICIOUS_ROWS_AN_HOUR, a new phone or address is counted in the row of its reason only.
COUNT = """
WITH seen AS (
    SELECT date_trunc('hour', now()) AS hour, %(reason)s::text AS reason,
           %(phone_hash)s::text AS phone_hash, %(address)s::text AS address
), room AS (
    SELECT count(*) < %(rows)s OR EXISTS (
        SELECT FROM accounts_suspiciousactivity JOIN seen USING (hour, reason, phone_hash, address)
    ) AS is_left
    FROM (
        SELECT FROM accounts_suspiciousactivity JOIN seen USING (hour) LIMIT %(rows)s
    ) AS this_hour
)
INSERT INTO accounts_suspiciousactivity AS known
    (hour, reason, phone_hash, address, count, first_seen, last_seen)
SELECT hour, reason, CASE WHEN is_left THEN phone_hash ELSE '' END,
       CASE WHEN is_left THEN address ELSE '' END, 1, now(), now()
FROM seen, room
ON CONFLICT (hour, reason, phone_hash, address)
DO UPDATE SET count = known.count + 1, last_seen = now()
"""


def hash_personal(value: str) -> str:
    """Return a short keyed hash of a phone or address, for logs, counts and comparisons."""
    return salted_hmac("accounts.personal", value, algorithm="sha256").hexdigest()[:32]


def note_suspicious(reason: str, *, phone: str = "", address: str = "") -> None:
    """Log and count suspicious activity; `reason` is one of a few words, such as `wrong_code`.

    One upsert. While the database is away it is only logged. The rollback of a transaction also
    removes the count.
    """
    fields = {"reason": reason, "phone_hash": "", "address": ""}
    if phone:
        fields["phone_hash"] = hash_personal(phone)
    if address:
        fields["address"] = _network_of(address)
    log.warning("suspicious_activity", extra=fields)
    if database_breaker.state != "closed":
        return
    values: dict[str, str | int] = {**fields, "rows": settings.SUSPICIOUS_ROWS_AN_HOUR}
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(COUNT, values)
    except Error as error:
        log.warning("suspicious_activity_not_counted", extra={"error": type(error).__name__})


def _network_of(address: str) -> str:
    """Return an IPv4 address, or the network of an IPv6 address with its length."""
    normal = normal_address(address)
    if ":" in normal:
        return f"{normal}/64"
    return normal


def purge_suspicious() -> int:
    """Delete rows older than SUSPICIOUS_DAYS. Return the number of deleted rows."""
    old = SuspiciousActivity.objects.filter(
        last_seen__lt=Now() - timedelta(days=settings.SUSPICIOUS_DAYS)
    )
    return old.delete()[0]


def count_last_day() -> Mapping[str, Any]:
    """Return the counts of the last 24 hours: `reasons`, and `addresses` (the 20 most frequent)."""
    recent = SuspiciousActivity.objects.filter(last_seen__gt=Now() - timedelta(days=1))
    addresses = recent.exclude(address="").values("address").annotate(times=Sum("count"))
    by_reason = recent.values_list("reason").annotate(times=Sum("count")).order_by("-times")
    return {
        "reasons": [
            {"reason": reason_in_words(reason), "times": times} for reason, times in by_reason
        ],
        "addresses": addresses.order_by("-times")[:20],
    }
