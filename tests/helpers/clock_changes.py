"""Nights in which clocks change."""

from datetime import UTC, datetime

# Each is a night in which clocks change, by zone and the moment of the change.
CHANGES = [
    ("Europe/Lisbon", datetime(2030, 3, 31, 1, tzinfo=UTC)),
    ("Europe/Lisbon", datetime(2030, 10, 27, 1, tzinfo=UTC)),
    ("Atlantic/Azores", datetime(2030, 3, 31, 1, tzinfo=UTC)),
    ("Atlantic/Azores", datetime(2030, 10, 27, 1, tzinfo=UTC)),
    ("America/New_York", datetime(2030, 3, 10, 7, tzinfo=UTC)),
    ("America/New_York", datetime(2030, 11, 3, 6, tzinfo=UTC)),
    ("Australia/Lord_Howe", datetime(2030, 4, 6, 15, tzinfo=UTC)),
    ("Australia/Lord_Howe", datetime(2030, 10, 5, 15, 30, tzinfo=UTC)),
    ("Asia/Kolkata", datetime(2030, 10, 27, 1, tzinfo=UTC)),
]
