"""Thousands of accounts, which PostgreSQL itself makes, with requests and sessions."""

from django.db import connection

from accounts.models import User
from guests.models import Event, GuestRequest
from tests.helpers.sessions import session_of

ACCOUNTS = """
INSERT INTO accounts_user (password, is_superuser, phone, first_name, last_name, email, language,
                           is_active, is_staff, session_nonce)
SELECT '!', false, '+3519' || lpad((20000000 + n)::text, 8, '0'), 'Rita', 'Exemplo ' || n,
       'rita' || n || '@example.com', 'pt-pt', true, false, md5(n::text)
FROM generate_series(%s::bigint, %s::bigint) AS n
ORDER BY n
RETURNING id
"""
# Due in a day, so no worker ends them and their pages wait.
WAITING = """
INSERT INTO guests_guestrequest (ticket_id, event_id, account_id, phone, name, next_attempt_at,
                                 refusal, attempts, error)
SELECT gen_random_uuid(), %s, account.id, account.phone, account.first_name,
       now() + interval '1 day', '', 0, ''
FROM accounts_user AS account
WHERE account.id = ANY(%s)
RETURNING account_id, ticket_id
"""

_made = 0


def make_accounts(size: int) -> list[int]:
    """Make new accounts and return their ids."""
    global _made
    with connection.cursor() as cursor:
        cursor.execute(ACCOUNTS, [_made, _made + size - 1])
        _made += size
        return [pk for (pk,) in cursor.fetchall()]


def make_waiting_requests(event: Event, accounts: list[int]) -> dict[int, str]:
    """Make a pending request of each account that no worker ends, and return tickets by account."""
    with connection.cursor() as cursor:
        cursor.execute(WAITING, [event.pk, accounts])
        return {account: str(ticket) for account, ticket in cursor.fetchall()}


def make_due_requests(event: Event, accounts: list[int]) -> None:
    """Make a due request of each account, without a wake-up for workers."""
    make_waiting_requests(event, accounts)
    GuestRequest.objects.filter(event=event).update(next_attempt_at="2000-01-01T00:00:00Z")


def sessions_of(accounts: list[int]) -> dict[int, bytes]:
    """Return the value of the session cookie of each account."""
    found = User.objects.in_bulk(accounts)
    return {pk: session_of(found[pk]).encode() for pk in accounts}
