"""The promoter to whom a guest is attributed."""

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
    """Return the promoter and team that are named, both None if none is named.

    `at_event` has the event's promoters in the order of their ids, with promoter and team loaded.
    Without `team_id` the first row of the promoter counts. Raises GuestError
    `promoter_not_at_event` for a promoter who does not work at the event, or not for that team.
    """
    if not code and promoter_id is None and team_id is None:
        return None, None
    for row in at_event:
        if code and row.promoter.code != code:
            continue
        if not code and row.promoter_id != promoter_id:
            continue
        if team_id in {None, row.team_id}:
            return row.promoter, row.team
    raise GuestError("promoter_not_at_event")
