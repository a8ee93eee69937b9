"""The promoter and the team that a request is attributed to."""

from typing import Any

import pytest

from guests.exceptions import GuestError
from guests.requests.accepting import find_promoter
from tests.factories import make_event, make_event_promoter, make_guest, make_promoter, make_team

pytestmark = pytest.mark.django_db


def test_a_request_is_attributed_to_the_promoter_of_the_event() -> None:
    at_event = make_event_promoter(team=make_team())
    found = find_promoter(at_event.event, code=at_event.promoter.code)
    assert found == (at_event.promoter, at_event.team)
    guest = make_guest(at_event.event, promoter=found[0], team=found[1])
    assert (guest.promoter, guest.team) == found


def test_a_request_without_a_code_has_no_promoter() -> None:
    assert find_promoter(make_event()) == (None, None)


def test_promoters_and_teams_of_other_events_are_refused() -> None:
    at_event, team = make_event_promoter(team=make_team()), make_team()
    wrong: list[dict[str, Any]] = [
        {"code": make_promoter().code},
        {"code": "nobody"},
        {"promoter_id": make_event_promoter().promoter_id},
        {"promoter_id": at_event.promoter_id, "team_id": team.pk},
        {"team_id": team.pk},
    ]
    for named in wrong:
        with pytest.raises(GuestError, match="promoter_not_at_event"):
            find_promoter(at_event.event, **named)
