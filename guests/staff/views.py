"""The pages of the live dashboard. Access is that of admin."""

from collections.abc import Callable
from functools import wraps
from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db import InterfaceError, OperationalError
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.cache import patch_vary_headers
from django.utils.translation import get_language, gettext
from django.views.decorators.http import require_safe

from accounts.staff_sessions import may_be_staff
from guests.overview.events import MAX_EVENTS, seconds_between
from guests.staff.boards import (
    GROUPS,
    PLOTS,
    TONIGHT,
    Board,
    BoardKey,
    card_part,
    group_of,
    render_board,
)
from guests.staff.rights import rights_of
from guests.staff.system import known_lines
from snap.control.modes import slowed
from snap.error_pages import unavailable
from snap.limits.policy import STAFF, limited
from snap.pages import websocket_url
from snap.resilience.database import DatabaseUnavailableError

# In the path of the socket, in the place of an event.
NO_EVENT = "-"
# Seconds after which a page without JavaScript loads again.
RELOAD_SECONDS = 15

View = Callable[..., HttpResponse]


def told_in_outages(view: View) -> View:
    """Tell sessions of staff what is known while the database is away, and cannot say who they are.

    Their page has no numbers: the permissions for them are not known either.
    """

    @wraps(view)
    def wrapper(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        try:
            return view(request, *args, **kwargs)
        except (OperationalError, InterfaceError, DatabaseUnavailableError):
            lines = may_be_staff(request.session) and known_lines()
            if not lines:
                raise
            return unavailable(request, lines=lines)

    return wrapper


@limited(read=STAFF)
@require_safe
@told_in_outages
@admin.site.admin_view
def tonight(request: HttpRequest) -> HttpResponse:
    """Show all events of tonight, and the state of the system."""
    return _render_page(request, TONIGHT)


@limited(read=STAFF)
@require_safe
@told_in_outages
@admin.site.admin_view
def event(request: HttpRequest, slug: str) -> HttpResponse:
    """Show one event: how its list fills, and through whom."""
    return _render_page(request, slug)


def _render_page(request: HttpRequest, page: str) -> HttpResponse:
    """Render a page, or only its parts for the script of the page that polls."""
    rights = rights_of(request.user)
    if not rights.may_see(page):
        raise PermissionDenied
    key = BoardKey(page, get_language() or "", rights)
    board = render_board(key)
    if board is None:
        raise Http404
    template = "staff/board.html"
    context: dict[str, Any] = {
        "board": board,
        "parts": board.parts,
        "is_full": True,
        "seconds": seconds_between(),
    }
    if not request.htmx:  # type: ignore[attr-defined]
        template = "staff/page.html"
        context |= admin.site.each_context(request) | _page_context(request, key, board)
    response = render(request, template, context)
    patch_vary_headers(response, ["HX-Request"])
    return response


def _page_context(request: HttpRequest, key: BoardKey, board: Board) -> dict[str, Any]:
    """Return what of a page does not change while it is open, beside its parts."""
    found = None
    groups: list[dict[str, Any]] = []
    if key.page == TONIGHT:
        groups = _groups(board)
    else:
        (found,) = board.events
    return {
        "title": found.title if found else gettext("Tonight"),
        "event": found,
        "groups": groups,
        "is_cut": len(board.events) >= MAX_EVENTS,
        "plots": _plots(board),
        "rights": key.rights,
        "websocket_url": websocket_url("staff", key.page or NO_EVENT, request.get_host()),
        "reload_seconds": round(slowed(RELOAD_SECONDS)),
        "is_nav_sidebar_enabled": False,
    }


def _groups(board: Board) -> list[dict[str, Any]]:
    """Return the cards of events in groups: now, soon, ended."""
    groups = []
    for group, heading in GROUPS.items():
        cards = []
        for event in board.events:
            part = card_part(event)
            if group_of(event) == group and part in board.parts:
                cards.append({"event": event, "part": part, "html": board.parts[part]})
        if cards:
            groups.append({"heading": heading, "cards": cards})
    return groups


def _plots(board: Board) -> list[dict[str, Any]]:
    plots = []
    for name, heading in PLOTS.items():
        if f"{name}-plot" in board.parts:
            plot, table = board.parts[f"{name}-plot"], board.parts[f"{name}-table"]
            plots.append({"name": name, "heading": heading, "plot": plot, "table": table})
    return plots
