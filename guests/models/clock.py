"""The database's time, on the rows that were read at it."""

from datetime import datetime

from django.db import models
from django.utils import timezone


class ReadAtDatabaseTime(models.Model):
    """A row that knows the database's time at which it was read, where the query asked for it.

    Hosts' clocks differ. A list opens and closes by the database's clock alone.
    """

    # Set by `annotate(read_at=Now())`.
    read_at: datetime | None = None

    class Meta:
        abstract = True

    @property
    def database_now(self) -> datetime:
        """Return the database's time of reading, or this host's time for a row made in memory."""
        return self.read_at or timezone.now()
