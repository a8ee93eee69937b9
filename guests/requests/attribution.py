"""Whom a guest is attributed to."""

from collections.abc import Iterable

from guests.exceptions import GuestError
from guests.models import EventPromoter, Promoter, Team


def choose_promoter(
    at_event: Iterable[EventPromoter],
    *,
    code: str = "",
    promoter_id: int | None = None,
    team_id: int | None = None,
) -> tuple[Promoter | None, Team | None]:
    """Return the promoter and team that were named, both None when none was.

    `at_event` are an event's promoters, with promoter and team, in the order of their keys. Raises
    GuestError `promoter_not_at_event` for a promoter who does not work at the event, or not for
    that team.
    """
    if not code and promoter_id is None and team_id is None:
        return None, None
    for row in at_event:
        is_named = row.promoter.code == code if code else row.promoter_id == promoter_id
        if is_named and team_id in {None, row.team_id}:
            return row.promoter, row.team
    raise GuestError("promoter_not_at_event")
