"""An event's guest list as CSV, for spreadsheets: nothing in it may run there."""

import csv
from collections.abc import Iterator
from datetime import datetime
from io import StringIO
from typing import Any

from django.utils.translation import get_language
from django.utils.translation import gettext as _

from guests.models import Event, Guest

BYTE_ORDER_MARK = "\ufeff"  # Without it Excel takes UTF-8 for something else.
ROWS_AT_ONCE = 500
COLUMNS = [
    "name",
    "phone",
    "account__email",
    "state",
    "promoter__name",
    "team__name",
    "created_at",
    "checked_in_at",
]
# What spreadsheets take for the beginning of a formula, the wide forms too.
FORMULA_STARTS = tuple("=+-@\t\r\n\0＝＋－＠")


def guest_list_lines(event: Event) -> Iterator[str]:
    """Return the list in pieces, in the language of now: who is on it, then who waits. One query.

    A phone is a cell of text, with a quote before its plus like all that could be a formula.
    """
    headings = [
        _("name"),
        _("phone"),
        _("email"),
        _("state"),
        _("promoter"),
        _("team"),
        _("created at"),
        _("checked in at"),
    ]
    states = {state.value: str(state.label) for state in Guest.State}
    rows = (
        Guest.objects.filter(event=event)
        .exclude(state=Guest.State.CANCELLED)
        .order_by("state", "queue_number", "pk")
        .values_list(*COLUMNS)
    )
    # Spreadsheets in Portuguese keep the comma for decimals.
    separator = ";" if (get_language() or "").startswith("pt") else ","
    cells = (_cells(event, states, row) for row in rows.iterator(chunk_size=ROWS_AT_ONCE))
    return _written(headings, cells, separator)


def escape_formula(text: str) -> str:
    """Return a cell that spreadsheets show as text, whatever it begins with."""
    return f"'{text}" if text.startswith(FORMULA_STARTS) else text


def _cells(event: Event, states: dict[str, str], row: tuple[Any, ...]) -> list[str]:
    name, phone, email, state, promoter, team, *times = row
    texts = [name, phone, email, states[state], promoter or "", team or ""]
    return [escape_formula(text) for text in texts] + [_local(event, at) for at in times]


def _local(event: Event, at: datetime | None) -> str:
    return f"{at.astimezone(event.zone):%Y-%m-%d %H:%M}" if at else ""


def _written(headings: list[str], rows: Iterator[list[str]], separator: str) -> Iterator[str]:
    buffer = StringIO()
    write = csv.writer(buffer, delimiter=separator).writerow
    buffer.write(BYTE_ORDER_MARK)
    write(headings)
    for number, row in enumerate(rows, start=1):
        write(row)
        if number % ROWS_AT_ONCE == 0:
            yield _emptied(buffer)
    yield _emptied(buffer)


def _emptied(buffer: StringIO) -> str:
    text = buffer.getvalue()
    buffer.seek(0)
    buffer.truncate()
    return text
