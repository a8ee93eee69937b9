"""Boards: what a page of the dashboard shows, rendered in parts.

A page is rendered with its parts. Afterwards only parts that have changed are pushed, or polled.
All viewers of a page with the same language and rights share one board.
"""

from dataclasses import dataclass
from datetime import datetime, tzinfo
from typing import Any

from django.template.loader import render_to_string
from django.utils import timezone, translation
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from guests.models import Event
from guests.overview.counting import CHECKED_IN, NO_PROMOTER, ON_LIST, REQUESTS, EventCounts
from guests.overview.events import (
    Night,
    NightEvent,
    promoter_names,
    read_event,
    read_night,
    seconds_between,
)
from guests.staff.plots import draw_curve, draw_pace, draw_ranking, minute_of
from guests.staff.rights import Rights
from guests.staff.system import SystemState, read_state
from snap.local_cache import LocalCache, on_reset
from snap.resilience.database import DatabaseUnavailableError, guarded_database

# The page of all of tonight's events. No event has an empty slug.
TONIGHT = ""
# The groups of tonight's events, and the plots, each with its heading in the order of the page.
# People come to a cancelled event all the same, so it is shown, but not among those that are on.
NOW, SOON, CANCELLED, ENDED = "now", "soon", "cancelled", "ended"
GROUPS = {
    NOW: _("Now"),
    SOON: _("Soon"),
    CANCELLED: _("Cancelled events"),
    ENDED: _("Ended"),
}
PLOTS = {
    "curve": _("The list against its capacity"),
    "pace": _("Requests a minute, last hour"),
    "promoters": _("By promoter"),
}
# Rendered boards are cached for this share of the seconds between two counts.
CACHED_SHARE = 0.5
DRAWN_SECONDS = 60.0


@dataclass(frozen=True)
class BoardKey:
    """A page, TONIGHT or the slug of an event, as people with a language and rights see it."""

    page: str
    language: str
    rights: Rights


@dataclass(frozen=True)
class Board:
    """The parts of a page as HTML, by their names, and the time of its values in words."""

    parts: dict[str, str]
    as_of: str
    # Events of the page, for what does not change while it is open.
    events: tuple[Event, ...] = ()

    @property
    def names(self) -> frozenset[str]:
        return frozenset(self.parts)


def group_of(event: Event) -> str:
    """Return the group of an event on the page of tonight."""
    if event.cancelled_at:
        return CANCELLED
    if event.is_over():
        return ENDED
    if event.list_state() == Event.ListState.NOT_OPEN_YET:
        return SOON
    return NOW


def card_part(event: Event) -> str:
    """Return the name of the part with an event's numbers.

    It has the group, so a page whose event goes to another group gets a part that it does not know,
    and loads again.
    """
    return f"{group_of(event)}-{event.pk}"


class _Process:
    """The values that this process has read last, for an outage of the database."""

    night: Night | None = None


_boards: LocalCache[BoardKey, Board] = LocalCache(
    size=200, seconds=lambda: seconds_between() * CACHED_SHARE
)
# The parts and the plots of boards, each with the values that it was rendered from.
_rendered: LocalCache[tuple[BoardKey, str], tuple[dict[str, Any], str]] = LocalCache(
    size=2_000, seconds=lambda: DRAWN_SECONDS
)
_drawn: LocalCache[BoardKey, tuple[Any, dict[str, str]]] = LocalCache(
    size=200, seconds=lambda: DRAWN_SECONDS
)


def render_board(key: BoardKey) -> Board | None:
    """Return a page's board, at most a second old; None for an event that does not exist.

    While the database is away it has the last values, and says so. Raises DatabaseUnavailableError
    if this process has none.
    """
    if cached := _boards.get(key):
        return cached
    night, is_current = _read_night()
    if key.page == TONIGHT:
        shown = night.events
    else:
        found = night.find(key.page) or _read_other(key.page)
        if found is None:
            return None
        shown = (found,)
    state = read_state(is_database_available=is_current)
    with translation.override(key.language):
        board = _render(key, shown, state, night.counted_at)
    _boards.set(key, board)
    return board


def _read_night() -> tuple[Night, bool]:
    """Return tonight's events, and whether they are present values and not the last known ones."""
    try:
        with guarded_database():
            _Process.night = read_night()
    except DatabaseUnavailableError:
        if _Process.night is None:
            raise
        return _Process.night, False
    return _Process.night, True


def _read_other(slug: str) -> NightEvent | None:
    with guarded_database():
        return read_event(slug)


def _render(
    key: BoardKey, shown: tuple[NightEvent, ...], state: SystemState, counted_at: datetime
) -> Board:
    zone = timezone.get_default_timezone()
    if key.page != TONIGHT:
        zone = shown[0].event.zone
    parts: dict[str, str] = {}

    def add(name: str, partial: str, **values: Any) -> None:
        parts[name] = _render_part(key, name, partial, values)

    if key.page == TONIGHT:
        add("state", "state", lines=state.lines())
        if key.rights.events:
            for each in shown:
                add(card_part(each.event), "card", **_numbers(each, key.rights))
    else:
        add("state", "state", lines=state.lines(), notes=_notes_on(shown[0].event))
        add("numbers", "numbers", **_numbers(shown[0], key.rights))
    if key.rights.guests:
        parts |= _plots(key, shown, counted_at, zone)
    if key.rights.system:
        add("system", "system", facts=state.facts())
    as_of = gettext("As of %(time)s") % {"time": f"{counted_at.astimezone(zone):%H:%M:%S}"}
    return Board(parts, as_of, tuple(each.event for each in shown))


def _render_part(key: BoardKey, name: str, partial: str, values: dict[str, Any]) -> str:
    """Return a part, rendered anew only if its values have changed. They compare by content."""
    rendered = _rendered.get((key, name))
    if rendered is None or rendered[0] != values:
        rendered = (values, render_to_string(f"staff/parts.html#{partial}", values))
        _rendered.set((key, name), rendered)
    return rendered[1]


def _plots(
    key: BoardKey, shown: tuple[NightEvent, ...], now: datetime, zone: tzinfo
) -> dict[str, str]:
    """Return the plots and their tables, drawn anew when a number or the minute has changed."""
    drawn_from = (
        minute_of(now),
        [(each.counts, each.event.capacity, each.event.places_taken) for each in shown],
    )
    drawn = _drawn.get(key)
    if drawn is None or drawn[0] != drawn_from:
        drawn = (drawn_from, _draw_plots(key, shown, now, zone))
        _drawn.set(key, drawn)
    return drawn[1]


def _draw_plots(
    key: BoardKey, shown: tuple[NightEvent, ...], now: datetime, zone: tzinfo
) -> dict[str, str]:
    by_minute: dict[int, int] = {}
    for each in shown:
        for minute, size in each.counts.minutes[REQUESTS].items():
            by_minute[minute] = by_minute.get(minute, 0) + size
    context: dict[str, Any] = {"pace": draw_pace(by_minute, now, zone)}
    names = ["pace"]
    if key.page != TONIGHT:
        (each,) = shown
        names = list(PLOTS)
        context |= {
            "on_list": each.event.places_taken,
            "curve": draw_curve(each.counts.minutes[ON_LIST], each.event.capacity, now, zone),
            "ranking": draw_ranking(_promoters(each.counts)),
            "shows_checked_in": each.counts.totals[CHECKED_IN] > 0,
        }
    parts: dict[str, str] = {}
    for name in names:
        parts[f"{name}-plot"] = render_to_string(f"staff/parts.html#{name}", context)
        parts[f"{name}-table"] = render_to_string(f"staff/parts.html#{name}-table", context)
    return parts


def _promoters(counts: EventCounts) -> list[tuple[str, dict[str, int]]]:
    names = promoter_names(set(counts.promoters))
    named = []
    for pk, sizes in counts.promoters.items():
        name = names.get(pk, "?")
        if pk == NO_PROMOTER:
            name = gettext("Without a promoter")
        named.append((name, sizes))
    return named


def _numbers(each: NightEvent, rights: Rights) -> dict[str, Any]:
    """Return the numbers of an event for its templates."""
    event, totals = each.event, each.counts.totals
    percent = 100
    if event.capacity:
        percent = min(100, 100 * event.places_taken // event.capacity)
    return {
        "shows_guests": rights.guests,
        "taken": event.places_taken,
        "capacity": event.capacity,
        "left": event.places_left,
        "list_state": event.list_state(),
        "percent": percent,
        "totals": {name: max(0, size) for name, size in totals.items()},
        # The door writes check-ins. Without any, the number would say nothing.
        "shows_checked_in": totals.get(CHECKED_IN, 0) > 0,
    }


def _notes_on(event: Event) -> list[str]:
    """Return what is worth telling about the list of an event."""
    state = event.list_state()
    if state == Event.ListState.CANCELLED:
        return [gettext("The event is cancelled.")]
    if state == Event.ListState.FULL and event.takes_waiting():
        return [gettext("The list is full. Newcomers go to the waiting list.")]
    if state == Event.ListState.FULL:
        return [gettext("The list is full.")]
    if state == Event.ListState.CLOSED:
        return [gettext("The list is closed.")]
    return []


def _forget() -> None:
    _Process.night = None


on_reset(_forget)
