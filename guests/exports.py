"""An event's guest list as CSV. No cell is a formula in a spreadsheet."""

import csv
from collections.abc import Iterator
from datetime import datetime
from functools import partial
from io import StringIO
from typing import Any

from django.utils.translation import get_language
from django.utils.translation import gettext as _

from guests.models import Event, Guest

BYTE_ORDER_MARK = "\ufeff"  # Excel needs it to recognise UTF-8.
ROWS_AT_ONCE = 500
COLUMNS = [
    "name",
    "phone",
    "account__email",
    "state",
    "promoter__name",
    "team__name",
    "note",
    "created_at",
    "checked_in_at",
]
# Characters with which spreadsheets begin a formula, in their wide forms too.
FORMULA_STARTS = tuple("=+-@\t\r\n\0＝＋－＠")


def guest_list_lines(event: Event) -> Iterator[str]:
    """Return the list as CSV in parts of ROWS_AT_ONCE rows, in the active language. One query.

    Guests on the list come first, then guests on the waiting list. Cancelled guests are left out. A
    phone has a quote before its plus, like each cell that could be a formula.
    """
    headings = [
        _("name"),
        _("phone"),
        _("email"),
        _("state"),
        _("promoter"),
        _("team"),
        _("note"),
        _("created at"),
        _("checked in at"),
    ]
    rows = (
        Guest.objects.filter(event=event)
        .exclude(state=Guest.State.CANCELLED)
        .order_by("state", "queue_number", "pk")
        .values_list(*COLUMNS)
    )
    separator = ","
    # Spreadsheets in Portuguese use the comma for decimals.
    if (get_language() or "").startswith("pt"):
        separator = ";"
    # Translated now, since the parts are read after the view has returned.
    states = {value: str(label) for value, label in Guest.State.choices}
    cells = map(partial(_cells, event, states), rows.iterator(chunk_size=ROWS_AT_ONCE))
    return _csv_parts(headings, cells, separator)


def escape_formula(text: str) -> str:
    """Return a cell that spreadsheets show as text: a quote comes before the start of a formula."""
    if text.startswith(FORMULA_STARTS):
        return f"'{text}"
    return text


def _cells(event: Event, states: dict[str, str], row: tuple[Any, ...]) -> list[str]:
    name, phone, email, state, promoter, team, note, created_at, checked_in_at = row
    texts = [name, phone or "", email, states[state], promoter or "", team or "", note]
    times = [_local_time(event, created_at), _local_time(event, checked_in_at)]
    return [*map(escape_formula, texts), *times]


def _local_time(event: Event, at: datetime | None) -> str:
    if at is None:
        return ""
    return f"{at.astimezone(event.zone):%Y-%m-%d %H:%M}"


def _csv_parts(headings: list[str], rows: Iterator[list[str]], separator: str) -> Iterator[str]:
    buffer = StringIO()
    write = csv.writer(buffer, delimiter=separator).writerow
    buffer.write(BYTE_ORDER_MARK)
    write(headings)
    for number, row in enumerate(rows, start=1):
        write(row)
        if number % ROWS_AT_ONCE == 0:
            yield _empty(buffer)
    yield _empty(buffer)


def _empty(buffer: StringIO) -> str:
    """Return the text in the buffer, and empty it."""
    text = buffer.getvalue()
    buffer.seek(0)
    buffer.truncate()
    return text
