"""The history of modes, and staff who set a mode by hand."""

import logging
from datetime import timedelta
from typing import Any

from django.core.exceptions import ValidationError
from django.db import transaction

from snap.control.modes import MODES
from snap.models import Mode, ModeChange
from snap.text import clean_line

log = logging.getLogger(__name__)

# The longest time for which staff set a mode. After a night the load monitor decides again.
MAX_MINUTES = 24 * 60
MAX_REASON = 200


class ModeError(ValueError):
    """What staff ask for cannot be done: `minutes` or `reason`."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


def _cleaned(reason: str) -> str:
    """Return a reason as it is stored. Raises ModeError `reason`."""
    try:
        cleaned = clean_line(reason)
    except ValidationError:
        raise ModeError("reason") from None
    if not 0 < len(cleaned) <= MAX_REASON:
        raise ModeError("reason")
    return cleaned


def locked_mode(name: str) -> Mode:
    """Return a mode, locked, with the database's time. A missing row is made."""
    Mode.objects.get_or_create(pk=name)
    return Mode.objects.locked().get(pk=name)


def locked_modes() -> list[Mode]:
    return [locked_mode(name) for name in MODES]


@transaction.atomic
def set_mode(name: str, *, is_on: bool, minutes: int, reason: str, by: Any = None) -> Mode:
    """Set a mode by hand for so many minutes, whatever the load monitor decides. Return it.

    Raises ModeError: `reason` without one in a line of text, `minutes` without any, or with more
    than MAX_MINUTES.
    """
    reason = _cleaned(reason)
    if not 0 < minutes <= MAX_MINUTES:
        raise ModeError("minutes")
    mode = locked_mode(name)
    was_on = mode.is_active
    mode.override = is_on
    mode.override_until = mode.database_now + timedelta(minutes=minutes)
    mode.override_reason = reason
    mode.override_by = by
    mode.save_override()
    note_change(mode, was_on=was_on, source=ModeChange.Source.STAFF, reason=reason, by=by)
    return mode


@transaction.atomic
def leave_to_monitor(name: str, *, reason: str, by: Any = None) -> bool:
    """End what staff have set: the load monitor decides again. Return False if nothing was set.

    Raises ModeError `reason` without a reason.
    """
    reason = _cleaned(reason)
    mode = locked_mode(name)
    if not mode.is_set_by_hand:
        return False
    was_on = mode.is_active
    mode.clear_override()
    note_change(mode, was_on=was_on, source=ModeChange.Source.STAFF, reason=reason, by=by)
    return True


def note_change(
    mode: Mode, *, was_on: bool, source: ModeChange.Source, reason: str = "", by: Any = None
) -> None:
    """Write a change of a mode to the history, and to the log when it is committed."""
    change = ModeChange.objects.create(
        mode=mode.name,
        was_on=was_on,
        is_on=mode.is_active,
        source=source,
        reason=reason,
        changed_by=by,
    )
    about = {"mode": mode.name, "is_on": change.is_on, "source": source.value}
    if source is ModeChange.Source.MONITOR:
        # What staff write can name a person.
        about["reason"] = reason
    transaction.on_commit(lambda: log.warning("mode_changed", extra=about), robust=True)
