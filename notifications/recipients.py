"""Whom an email reaches: one key for all spellings of a mailbox, and how much it has got lately."""

import unicodedata
from math import ceil

from django.conf import settings
from django.db import connection

# Mailboxes in which dots in the name mean nothing, and the domain that they are known by here.
WITHOUT_DOTS = {"gmail.com": "gmail.com", "googlemail.com": "gmail.com"}

# The emails that strangers have caused to one recipient in the last hour, counted no further than
# the limit. An aggregate: PostgreSQL runs it once, however often its answer is used.
COUNT = """
SELECT count(*) AS number FROM (
    SELECT FROM notifications_email AS earlier
    WHERE earlier.recipient = %s AND earlier.by_stranger AND earlier.state <> 'cancelled'
    AND earlier.created_at > statement_timestamp() - interval '1 hour'
    LIMIT %s
) AS lately
"""

UNTIL_MORE = """
SELECT extract(epoch FROM created_at + interval '1 hour' - statement_timestamp())
FROM notifications_email
WHERE recipient = %s AND by_stranger AND state <> 'cancelled'
AND created_at > statement_timestamp() - interval '1 hour'
ORDER BY created_at DESC OFFSET %s LIMIT 1
"""


def recipient_key(email: str) -> str:
    """Return one form of all the addresses that lead to one mailbox, "" for no address.

    Case, +tags, quotes, dots at Gmail, a dot after the domain, and the way to write an
    international domain make no difference. It is for counting: nothing is sent to it.
    """
    composed = unicodedata.normalize("NFKC", email).strip().casefold()
    name, at, domain = composed.rpartition("@")
    if not at:
        return composed
    domain = _ascii_domain(domain.rstrip("."))
    if name.startswith('"') and name.endswith('"') and len(name) > 2:
        name = name[1:-1].replace("\\", "")
    name = name.partition("+")[0] or name
    if domain in WITHOUT_DOTS:
        domain = WITHOUT_DOTS[domain]
        name = name.replace(".", "")
    return f"{name}@{domain}"[:254]


def _ascii_domain(domain: str) -> str:
    try:
        return domain.encode("idna").decode("ascii")
    except UnicodeError:
        return domain


def seconds_until_more(email: str) -> int:
    """Return when strangers may cause another email to this recipient, in seconds. One query.

    0 when they may now: fewer than EMAILS_PER_RECIPIENT went to it in the last hour.
    """
    with connection.cursor() as cursor:
        cursor.execute(UNTIL_MORE, [recipient_key(email), settings.EMAILS_PER_RECIPIENT - 1])
        row = cursor.fetchone()
    return max(1, ceil(row[0])) if row else 0
