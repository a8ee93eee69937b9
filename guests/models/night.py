"""The counts of a night, which all processes share."""

from django.db import models
from django.db.models.functions import Now


class NightCounts(models.Model):
    """The counts of all current events, in one row (guests/overview/events.py).

    The process that finds the row older than a second brings it up to date, for all others.
    """

    counted_at = models.DateTimeField(db_default=Now())
    # The fields of `guests.overview.counting.Tally`.
    values = models.JSONField(default=dict)

    class Meta:
        verbose_name = "counts of a night"
        verbose_name_plural = "counts of a night"
        constraints = [
            models.CheckConstraint(condition=models.Q(pk=1), name="guests_one_row_of_night_counts"),
        ]

    def __str__(self) -> str:
        return f"{self.counted_at}"
