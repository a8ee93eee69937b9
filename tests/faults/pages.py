"""An open ticket page that behaves as static/js/ticket.js does, without a browser."""

import asyncio
import random
import re
from collections.abc import Awaitable, Callable
from contextlib import suppress

from snap.local.processes import BASE_DIR
from tests.bench import wire

SCRIPT = (BASE_DIR / "static/js/ticket.js").read_text()
STATE = re.compile(rb'data-state="([a-z_]+)')
FINAL = {"created", "waitlisted", "refused", "cancelled", "failed", "by_email"}
CONNECT_TIMEOUT = 10.0  # seconds


def in_script(pattern: str) -> float:
    """Return, in seconds, a constant that the script has in milliseconds."""
    found = re.search(pattern, SCRIPT)
    assert found is not None, f"ticket.js has no {pattern}"
    return int(found[1]) / 1000


WITHOUT_SOCKET = in_script(r"WITHOUT_SOCKET = (\d+);")
WITH_SOCKET = in_script(r"WITH_SOCKET = (\d+);")
FIRST_WITH_SOCKET = in_script(r"FIRST_WITH_SOCKET = (\d+);")
AFTER_FAILURE = in_script(r"AFTER_FAILURE = (\d+);")
QUEUED = in_script(r"queued: (\d+)")
LONGEST_RECONNECT = in_script(r"Math\.min\(1000 \* 2 \*\* tries, (\d+)\)")


class Page:
    """A ticket page, from the acceptance of the request until it shows the end.

    `ask` polls the ticket and returns its state, or "" without a usable response. `connect` opens
    the socket of the page; a page without it only polls.
    """

    def __init__(
        self,
        shown: str,
        ask: Callable[[], Awaitable[str]],
        connect: Callable[[], Awaitable[wire.Socket]] | None = None,
    ) -> None:
        self.shown = shown
        self.has_socket = False
        self.heard_by_socket = False
        self._ask = ask
        self._connect = connect
        self._has_asked = self._has_failed = self._must_ask = False
        self._changed = asyncio.Event()

    async def follow(self) -> None:
        """Return when the page shows the end."""
        listening = asyncio.create_task(self._listen()) if self._connect else None
        try:
            while True:
                await self._until_due()
                if self.shown in FINAL:
                    return
                self._has_asked = True
                state = await self._ask()
                self._has_failed = not state
                self.shown = state or self.shown
        finally:
            if listening:
                listening.cancel()

    def _delay(self) -> float:
        if self._has_failed:
            return AFTER_FAILURE
        if self.shown == "queued":
            return QUEUED
        if not self.has_socket:
            return WITHOUT_SOCKET
        return WITH_SOCKET if self._has_asked else FIRST_WITH_SOCKET

    async def _until_due(self) -> None:
        """Wait until the next poll. Every message of the socket restarts the timer."""
        while self.shown not in FINAL and not self._must_ask:
            self._changed.clear()
            try:
                async with asyncio.timeout(self._delay() * random.uniform(0.8, 1.2)):
                    await self._changed.wait()
            except TimeoutError:
                break
        self._must_ask = False

    async def _listen(self) -> None:
        assert self._connect is not None
        tries = 0
        while True:
            with suppress(OSError, wire.WireError, TimeoutError):
                async with asyncio.timeout(CONNECT_TIMEOUT):
                    socket = await self._connect()
                tries = 0
                self._set_socket(is_open=True)
                try:
                    while (text := await socket.receive()) is not None:
                        self._hear(text)
                finally:
                    socket.close()
            if self.has_socket:
                self._set_socket(is_open=False)
            await asyncio.sleep(min(2**tries, LONGEST_RECONNECT) * random.uniform(0.5, 1.5))
            tries += 1

    def _set_socket(self, *, is_open: bool) -> None:
        self.has_socket = is_open
        self._changed.set()

    def _hear(self, text: bytes) -> None:
        if text == b"ask":
            self._must_ask = True
        elif found := STATE.search(text):
            self.shown = found[1].decode()
            self.heard_by_socket = self.shown in FINAL
        self._changed.set()
