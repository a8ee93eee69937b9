"""Arguments for statements that write many rows at once."""

from collections.abc import Sequence
from typing import Any


def columns_of(rows: Sequence[object], *names: str) -> list[list[Any]]:
    """Return a list of values for each named attribute, as SQL's `unnest` takes them."""
    return [[getattr(row, name) for row in rows] for name in names]
