"""Which guests emails about an event reach."""

from django.db import connection

# A condition on `account`: it has an address, and neither it nor its phone is excluded.
REACHABLE = """
account.email <> '' AND account.is_active AND NOT EXISTS (
    SELECT FROM accounts_blockedphone AS blocked
    WHERE (blocked.phone = account.phone
        OR blocked.is_prefix AND starts_with(account.phone, blocked.phone))
    AND (blocked.expires_at IS NULL OR blocked.expires_at > statement_timestamp())
)
"""
# The time since which a guest has the place, or is on the waiting list (`Guest.placed_at`).
PLACED_AT = "coalesce(guest.state_since, guest.created_at)"

REACHABLE_GUESTS = f"""
SELECT count(*) FROM guests_guest AS guest
JOIN accounts_user AS account ON account.id = guest.account_id
WHERE guest.event_id = %s AND guest.state <> 'cancelled' AND {REACHABLE}
"""  # noqa: S608


def count_reachable(event_id: int) -> int:
    """Return how many guests get an email when something happens to their event. One query."""
    with connection.cursor() as cursor:
        cursor.execute(REACHABLE_GUESTS, [event_id])
        (number,) = cursor.fetchone()
    return int(number)
