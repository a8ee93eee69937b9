"""Local times in the nights when clocks change.

When clocks go back, an hour comes twice: its times are ambiguous. When they go forward, an hour
does not come: its times are missing.
"""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo


def is_ambiguous(local: datetime) -> bool:
    """Return whether the clocks of a time's zone show that time twice."""
    return local.replace(fold=0).utcoffset() != local.replace(fold=1).utcoffset()


def is_missing(local: datetime) -> bool:
    """Return whether the clocks of a time's zone never show that time."""
    zone = local.tzinfo
    back = local.astimezone(UTC).astimezone(zone)
    return back.replace(tzinfo=None, fold=0) != local.replace(tzinfo=None, fold=0)


def both_times(wall_time: datetime, zone: ZoneInfo) -> tuple[datetime, datetime]:
    """Return the two times that an ambiguous wall time can mean, the earlier one first."""
    return wall_time.replace(tzinfo=zone, fold=0), wall_time.replace(tzinfo=zone, fold=1)
