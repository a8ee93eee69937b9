"""The websocket of the dashboard of staff: `/ws/staff/<event>/`, or `/ws/staff/-/` for tonight.

All viewers of a process share one loop. Once a second it reads the counts, renders each board that
somebody looks at once, and wakes the viewers. The loop ends with the last viewer. A viewer whose
connection is slow misses boards, and delays nobody.
"""

import asyncio
import logging
from asyncio import Future, Task, create_task, get_running_loop
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from channels.db import DatabaseSyncToAsync
from django.template.loader import render_to_string

from accounts.staff_sessions import is_recent, may_be_staff
from guests.overview.events import seconds_between
from guests.staff.boards import TONIGHT, Board, BoardKey, render_board
from guests.staff.rights import Rights, find_rights
from guests.staff.views import NO_EVENT
from promo.sockets.consumers import NORMAL_CLOSE, FollowingConsumer
from promo.sockets.handshakes import read_language
from promo.sockets.loaders import BatchLoader
from snap.limits.policy import SOCKETS, limited
from snap.resilience.database import DatabaseUnavailableError, guarded_database

log = logging.getLogger(__name__)

# Seconds between two checks of the sessions and permissions of all viewers.
CHECK_SECONDS = 5.0
# The shortest pause of the loop, however long a round took.
SHORTEST_PAUSE = 0.2

rights_loader: BatchLoader[Mapping[str, Any], Rights | None] = BatchLoader(find_rights)


def render_boards(keys: Sequence[BoardKey]) -> dict[BoardKey, Board | None]:
    """Return the boards. Those of which this process has no values are left out."""
    boards = {}
    for key in keys:
        try:
            boards[key] = render_board(key)
        except DatabaseUnavailableError:
            continue
    return boards


def find_all_rights(sessions: Sequence[Mapping[str, Any]]) -> list[Rights | None]:
    with guarded_database():
        return find_rights(sessions)


# In threads of a pool: rendering would hold up the pushes to guests.
render_in_thread: Any = DatabaseSyncToAsync(render_boards, thread_sensitive=False)
find_rights_in_thread: Any = DatabaseSyncToAsync(find_all_rights, thread_sensitive=False)


def message_of(board: Board, parts: Mapping[str, str], *, is_full: bool) -> str:
    """Return a message with some parts of a board, and the time of its values."""
    context = {"board": board, "parts": parts, "seconds": seconds_between(), "is_full": is_full}
    return render_to_string("staff/board.html", context)


@dataclass
class LiveBoard:
    """A board that somebody looks at: its present message, and what changed last."""

    board: Board | None = None
    version: int = 0
    full: str = ""
    changes: str = ""
    # Done when there is a newer version.
    changed: "Future[None]" = field(default_factory=lambda: get_running_loop().create_future())

    def publish(self, board: Board) -> None:
        """Show a board to all its viewers."""
        before = self.board.parts if self.board else {}
        changed = {name: html for name, html in board.parts.items() if before.get(name) != html}
        is_full = before.keys() != board.parts.keys()
        self.changes = message_of(board, board.parts if is_full else changed, is_full=is_full)
        self.full = self.changes
        if not is_full:
            self.full = message_of(board, board.parts, is_full=True)
        self.board = board
        self.version += 1
        changed_before, self.changed = self.changed, get_running_loop().create_future()
        changed_before.set_result(None)

    def message_after(self, version: int) -> str:
        """Return the message for a viewer who has seen a version, 0 for none."""
        if version and version == self.version - 1:
            return self.changes
        return self.full


class Viewers:
    """The viewers of this process, and the loop that shows them boards."""

    def __init__(self) -> None:
        self._viewers: set[StaffConsumer] = set()
        self._boards: dict[BoardKey, LiveBoard] = {}
        self._task: Task[None] | None = None
        self._hurry = asyncio.Event()
        self._is_failing = False

    def join(self, viewer: "StaffConsumer", key: BoardKey) -> LiveBoard:
        """Add a viewer. The first one starts the loop, and the first of a board hurries it."""
        self._viewers.add(viewer)
        if key not in self._boards:
            self._boards[key] = LiveBoard()
            self._hurry.set()
        if self._task is None or self._task.done():
            self._task = create_task(self._run())
        return self._boards[key]

    def leave(self, viewer: "StaffConsumer") -> None:
        self._viewers.discard(viewer)
        watched = {each.key for each in self._viewers}
        self._boards = {key: live for key, live in self._boards.items() if key in watched}

    async def _run(self) -> None:
        now = get_running_loop().time
        checked_at = now()
        while self._viewers:
            began = now()
            self._hurry.clear()
            try:
                await self._show_boards()
                if began - checked_at >= CHECK_SECONDS:
                    checked_at = began
                    await self._check_rights()
                self._is_failing = False
            except Exception:
                if not self._is_failing:
                    log.exception("dashboard_failed")
                self._is_failing = True
            await self._pause(max(SHORTEST_PAUSE, seconds_between() - (now() - began)))

    async def _pause(self, seconds: float) -> None:
        """Wait, but not if there is a board that nobody has rendered yet."""
        try:
            await asyncio.wait_for(self._hurry.wait(), seconds)
        except TimeoutError:
            return

    async def _show_boards(self) -> None:
        rendered = await render_in_thread(list(self._boards))
        for key, board in rendered.items():
            if live := self._boards.get(key):
                if board is not None:
                    live.publish(board)
                else:
                    self._close([each for each in self._viewers if each.key == key])

    async def _check_rights(self) -> None:
        """Close the sockets of sessions that have ended, or whose permissions have changed."""
        viewers = list(self._viewers)
        self._close([each for each in viewers if not is_recent(each.session)])
        try:
            rights = await find_rights_in_thread([each.session for each in viewers])
        except DatabaseUnavailableError:
            return
        changed = []
        for viewer, present in zip(viewers, rights, strict=True):
            if present != viewer.key.rights:
                changed.append(viewer)
        self._close(changed)

    def _close(self, viewers: Sequence["StaffConsumer"]) -> None:
        """Close sockets, and wait for none: a viewer that does not read takes no message either."""
        for viewer in viewers:
            viewer.closing = create_task(viewer.finish(NORMAL_CLOSE))


viewers = Viewers()


@limited(read=SOCKETS)
class StaffConsumer(FollowingConsumer):
    """A viewer of a board: of one event, or of tonight."""

    key: BoardKey
    session: Any = None
    task: "Task[None] | None" = None
    closing: "Task[None] | None" = None

    def may_ask(self, session: Any) -> bool:
        return may_be_staff(session)

    async def open(self, session: Any) -> None:
        """Join before accepting, so that no change is missed, and send what is shown at present."""
        try:
            rights = await rights_loader.find(session)
        except DatabaseUnavailableError:
            rights = None
        page = self.scope["url_route"]["kwargs"]["page"]
        if page == NO_EVENT:
            page = TONIGHT
        if rights is None or not rights.may_see(page):
            await self.finish()
            return
        self.session = session
        self.key = BoardKey(page, read_language(self.scope), rights)
        live = viewers.join(self, self.key)
        await self.accept_page()
        self.task = create_task(self.show(live))

    async def show(self, live: LiveBoard) -> None:
        """Send each version of the board, but only the latest to a slow connection."""
        version = 0
        while not self.is_finished:
            changed = live.changed
            if version < live.version:
                message = live.message_after(version)
                version = live.version
                await self.send(text_data=message)
            else:
                await asyncio.shield(changed)

    async def finish(self, code: int | None = None) -> None:
        viewers.leave(self)
        await super().finish(code)

    async def disconnect(self, code: int) -> None:
        viewers.leave(self)
        if self.task is not None:
            self.task.cancel()
