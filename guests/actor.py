"""Who acts: database triggers write it into the history beside every change of state."""

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import connection, transaction

from accounts.models import User


@contextmanager
def acting_as(account: User) -> Iterator[None]:
    """Open a transaction whose changes are recorded as done by this account.

    Elsewhere the history names the process, by its connection's application_name.
    """
    with transaction.atomic(), connection.cursor() as cursor:
        # The setting ends with the transaction, so it is safe behind a pool of connections.
        cursor.execute("SELECT set_config('snap.actor', %s, true)", [f"account:{account.pk}"])
        yield
