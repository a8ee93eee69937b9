"""The rows of the switches: every switch has one after a migration, so that staff find it."""

from typing import Any

from django.db import connections
from waffle.models import Switch as SwitchRow

from snap.control.switches import known_switches


def add_missing_rows(*, using: str = "default", **_signal: Any) -> None:
    """Add a row, switched on, for each switch without one. Rows that exist stay as they are.

    Runs after `migrate`. A database that is migrated back has no table for them.
    """
    if SwitchRow._meta.db_table not in connections[using].introspection.table_names():
        return
    rows = [SwitchRow(name=switch.name, active=True) for switch in known_switches()]
    SwitchRow.objects.using(using).bulk_create(rows, ignore_conflicts=True)
