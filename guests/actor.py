"""The actor that database triggers write into the history with each change of state."""

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import connection, transaction

from accounts.models import User


@contextmanager
def acting_as(account: User) -> Iterator[None]:
    """Open a transaction whose changes the history attributes to this account.

    In other transactions the history names the process, by its connection's application_name.
    """
    with transaction.atomic(), connection.cursor() as cursor:
        # `true` limits the setting to the transaction, so pooled connections do not keep it.
        cursor.execute("SELECT set_config('snap.actor', %s, true)", [f"account:{account.pk}"])
        yield
