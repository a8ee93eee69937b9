"""Websocket pushes from code that is not async: workers, views, commands.

A push is a hint. The page also polls, so a push that cannot leave is logged and forgotten. Each
process has one thread with one event loop for all its pushes, because an event loop and a
connection per push cost ten times as much. Not for use inside an event loop: it would block it.
"""

import asyncio
import logging
import os
import threading
from collections.abc import Iterable
from concurrent.futures import Future
from typing import Any

from channels.layers import get_channel_layer
from redis.exceptions import ConnectionError as RedisConnectionError

log = logging.getLogger(__name__)

Message = dict[str, Any]

# Seconds a caller waits, and seconds after which a push is given up.
WAIT = 0.5
GIVE_UP = 2.0


class _Loop:
    """An event loop that runs in a thread of its own for as long as the process lives."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._loop.run_forever, name="push", daemon=True).start()

    def submit(self, pushes: list[tuple[str, Message]], timeout: float) -> "Future[None]":
        return asyncio.run_coroutine_threadsafe(
            asyncio.wait_for(_send(pushes), timeout), self._loop
        )


_lock = threading.Lock()
_loop: _Loop | None = None


def push(group: str, message: Message, *, wait: bool = True) -> None:
    """Send a message to a group of websockets; wait at most 0.5 s for it to leave. Never raises."""
    push_many([(group, message)], wait=wait)


def push_many(pushes: Iterable[tuple[str, Message]], *, wait: bool = True) -> None:
    """Send messages to groups, in order; wait at most 0.5 s for all of them. Never raises.

    What has not left by then goes on leaving for another 1.5 s, and is given up after that.
    """
    batch = list(pushes)
    if not batch:
        return
    future = None
    try:
        future = _get_loop().submit(batch, GIVE_UP)
        if wait:
            future.result(timeout=WAIT)
            return
    except Exception as error:  # noqa: BLE001 (a push is a hint, whatever goes wrong)
        if future is None or future.done():
            _log(error)
            return
    future.add_done_callback(_log_failure)


async def _send(pushes: list[tuple[str, Message]]) -> None:
    layer = get_channel_layer()
    assert layer is not None
    for group, message in pushes:
        try:
            await layer.group_send(group, message)
        except RedisConnectionError:
            # The connection may be one that Redis closed when it restarted: the next is new.
            await layer.group_send(group, message)


def _get_loop() -> _Loop:
    global _loop
    with _lock:
        if _loop is None:
            _loop = _Loop()
        return _loop


def _forget_loop() -> None:
    """Start anew after a fork: the thread has stayed behind in the parent."""
    global _lock, _loop
    _lock = threading.Lock()
    _loop = None


os.register_at_fork(after_in_child=_forget_loop)


def _log_failure(future: "Future[None]") -> None:
    error = future.exception()
    if error is not None:
        _log(error)


def _log(error: BaseException) -> None:
    log.warning("push_failed", extra={"error": type(error).__name__})
