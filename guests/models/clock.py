"""A base class for models whose rows carry the database's time."""

from datetime import datetime
from typing import Self, TypeVar

from django.db import models
from django.db.models.functions import Now

RowT = TypeVar("RowT", bound="ReadAtDatabaseTime")


class DatabaseTimeQuerySet(models.QuerySet[RowT]):
    def with_database_time(self) -> Self:
        """Add the database's time to each row, as `database_now`."""
        return self.annotate(database_now=Now())


class ReadAtDatabaseTime(models.Model):
    """A row that carries the database's time at which it was read.

    Hosts' clocks differ, so a list opens and closes by the database's clock alone.
    """

    _database_now: datetime | None = None

    class Meta:
        abstract = True

    @property
    def has_database_time(self) -> bool:
        return self._database_now is not None

    @property
    def database_now(self) -> datetime:
        """The database's time of the read, which `with_database_time` adds to a query.

        Rows from this host's disk have this host's time. Raises RuntimeError for any other row.
        """
        if self._database_now is None:
            message = f"{self!r} has no time: read it with with_database_time()"
            raise RuntimeError(message)
        return self._database_now

    @database_now.setter
    def database_now(self, time: datetime) -> None:
        self._database_now = time
