"""Recipients: one key for all spellings of a mailbox, and the count of its recent emails."""

import unicodedata
from datetime import datetime, timedelta

from django.db.models import QuerySet

from notifications.models import Email
from snap.mail_addresses import ascii_domain
from snap.text import without_invisible

# Domains that ignore dots in the name, and the domain that `recipient_key` uses for them.
DOTLESS_DOMAINS = {"gmail.com": "gmail.com", "googlemail.com": "gmail.com"}

# Count the emails that strangers have caused to one recipient in RECIPIENT_WINDOW, up to a limit.
# An aggregate: PostgreSQL runs it once, even when a statement uses its result several times.
RECENT_COUNT = """
SELECT count(*) AS number FROM (
    SELECT FROM notifications_email AS earlier
    WHERE earlier.recipient = %s AND earlier.by_stranger AND earlier.state <> 'cancelled'
    AND earlier.created_at > statement_timestamp() - interval '1 hour'
    LIMIT %s
) AS lately
"""

# The time in which emails count towards EMAILS_PER_RECIPIENT, in RECENT_COUNT too.
RECIPIENT_WINDOW = timedelta(hours=1)


def recipient_key(email: str) -> str:
    """Return one key for all addresses of a mailbox, "" for an empty address.

    Case, +tags, quotes, dots at Gmail, a dot after the domain, invisible characters, and the
    spelling of an international domain make no difference. The key is for counting: no email is
    sent to it.
    """
    composed = unicodedata.normalize("NFKC", without_invisible(email)).strip()
    name, at, domain = composed.rpartition("@")
    name = name.casefold()
    if not at:
        return domain.casefold()
    domain = _ascii_domain(domain.rstrip("."))
    if name.startswith('"') and name.endswith('"') and len(name) > 2:
        name = name[1:-1].replace("\\", "")
    name = name.partition("+")[0] or name
    if domain in DOTLESS_DOMAINS:
        domain = DOTLESS_DOMAINS[domain]
        name = name.replace(".", "")
    return f"{name}@{domain}"[:254]


def _ascii_domain(domain: str) -> str:
    """Return a domain in ASCII. Folding its case before that would make ß another domain's ss."""
    try:
        return ascii_domain(domain)
    except UnicodeError:
        return domain.casefold()


def caused_by_strangers(email: str, now: datetime) -> QuerySet[Email]:
    """Return the emails that strangers caused to a recipient in the last hour, newest first."""
    caused = Email.objects.filter(recipient=recipient_key(email), by_stranger=True)
    counted = caused.exclude(state=Email.State.CANCELLED)
    return counted.filter(created_at__gt=now - RECIPIENT_WINDOW).order_by("-created_at")
