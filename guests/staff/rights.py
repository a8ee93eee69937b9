"""What of the dashboard a member of staff may see, by their permissions in admin."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.contrib.auth.backends import ModelBackend

from accounts.staff_sessions import find_staff

# The permission behind each part of the dashboard.
EVENTS = "guests.view_event"
GUESTS = "guests.view_guest"
SYSTEM = "snap.view_mode"


@dataclass(frozen=True)
class Rights:
    """The parts of the dashboard that a person may see."""

    # The events, with how full their lists are: what admin's list of events shows.
    events: bool
    # How many guests and requests they have, and through which promoters.
    guests: bool
    # The state of the system in numbers. Whether something is wrong is shown to all.
    system: bool

    def may_see(self, page: str) -> bool:
        """Return whether they open the page of an event, or that of tonight, which is ""."""
        return self.events or (self.system and not page)


def rights_of(account: Any) -> Rights:
    """Return the rights of an account. At most two queries."""

    def may_view(permission: str) -> bool:
        return bool(account.has_perm(permission) or account.has_perm(to_change(permission)))

    return Rights(
        events=may_view(EVENTS),
        guests=may_view(EVENTS) and may_view(GUESTS),
        system=may_view(SYSTEM),
    )


def to_change(permission: str) -> str:
    """Return the permission to change what a permission shows. In admin it shows that as well."""
    return permission.replace(".view_", ".change_")


def find_rights(sessions: Sequence[Mapping[str, Any]]) -> list[Rights | None]:
    """Return the rights of each session, None for one that may not use the pages of staff.

    Four queries for all of them, and two more with a second factor.
    """
    accounts = find_staff(sessions)
    ids = {account.pk for account in accounts if account}
    holders = {permission: _holders(permission, ids) for permission in (EVENTS, GUESTS, SYSTEM)}
    found = []
    for account in accounts:
        rights = None
        if account:
            rights = Rights(
                events=account.pk in holders[EVENTS],
                guests=account.pk in holders[EVENTS] and account.pk in holders[GUESTS],
                system=account.pk in holders[SYSTEM],
            )
        found.append(rights)
    return found


def _holders(permission: str, ids: set[int]) -> set[int]:
    """Return those of the accounts that have a permission, or the one to change. One query."""
    if not ids:
        return set()
    backend = ModelBackend()
    holders = backend.with_perm(permission) | backend.with_perm(to_change(permission))
    return set(holders.filter(pk__in=ids).values_list("pk", flat=True))
