"""The state of the system as staff read it: sentences for all, and facts for those who may."""

from dataclasses import dataclass
from typing import Any

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from snap.control.modes import is_emergency, is_queueing


@dataclass(frozen=True)
class Fact:
    """One value of the system. `is_bad`: it needs somebody's attention."""

    label: str | Promise
    value: str | Promise
    is_bad: bool = False


@dataclass(frozen=True)
class SystemState:
    """What the dashboard says of the system. Texts are translated when they are rendered."""

    # What is unusual, a sentence each.
    lines: list[Any]
    facts: list[Fact]
    is_current: bool = True


def read_state(*, is_database_available: bool) -> SystemState:
    """Return the state of the system now."""
    lines: list[Any] = []
    if not is_database_available:
        lines.append(
            _("The database does not answer. Requests are kept and guests get their place later.")
        )
        lines.append(_("The numbers below are the last known ones."))
    if is_emergency():
        lines.append(_("Emergency mode: emails wait, and newcomers are let in more slowly."))
    if is_queueing():
        lines.append(_("Queue mode: guests wait longer for their place than usual."))
    return SystemState(lines, [], is_current=is_database_available)
