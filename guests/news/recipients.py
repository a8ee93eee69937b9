"""Which guests emails about an event reach."""

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
