"""Whom an email reaches: one key for all spellings of a mailbox, and how much it has got lately."""

import unicodedata
from datetime import datetime, timedelta

from django.db.models import QuerySet

from notifications.models import Email

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

# How long an email counts as one that its recipient has got lately, in COUNT as well.
RECIPIENT_WINDOW = timedelta(hours=1)


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


def caused_by_strangers(email: str, now: datetime) -> QuerySet[Email]:
    """Return the emails that strangers have caused to one recipient lately, the newest first."""
    caused = Email.objects.filter(recipient=recipient_key(email), by_stranger=True)
    counted = caused.exclude(state=Email.State.CANCELLED)
    return counted.filter(created_at__gt=now - RECIPIENT_WINDOW).order_by("-created_at")
