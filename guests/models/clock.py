"""A base class for models whose rows carry the database's time."""

from datetime import datetime

from django.db import models
from django.utils import timezone


class ReadAtDatabaseTime(models.Model):
    """A row that carries the database's time at which it was read.

    Hosts' clocks differ, so a list opens and closes by the database's clock alone.
    """

    # A query sets it by `annotate(read_at=Now())`. It stays None in other rows.
    read_at: datetime | None = None

    class Meta:
        abstract = True

    @property
    def database_now(self) -> datetime:
        """Return the database's time of the read. Without it, return this host's time."""
        return self.read_at or timezone.now()
