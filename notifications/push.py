"""Websocket pushes from synchronous code: workers, views, commands.

A push is a hint. Pages also poll, so a push that cannot be sent is logged and dropped. Each process
has one thread with one event loop for all its pushes, because an event loop and a connection for
each push cost ten times as much. Not for use inside an event loop, which it would block.
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

MAX_WAIT_SECONDS = 0.5  # that a caller waits for its pushes
SEND_SECONDS = 2.0  # after which a batch of pushes is dropped


class _PushLoop:
    """An event loop in its own thread, until the process ends."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._loop.run_forever, name="push", daemon=True).start()

    def submit(self, pushes: list[tuple[str, Message]], timeout: float) -> "Future[None]":
        return asyncio.run_coroutine_threadsafe(
            asyncio.wait_for(_send(pushes), timeout), self._loop
        )


_lock = threading.Lock()
_loop: _PushLoop | None = None


def push(group: str, message: Message, *, wait: bool = True) -> None:
    """Send a message to a group of websockets, and wait for that up to 0.5 s. Never raises."""
    push_many([(group, message)], wait=wait)


def push_many(pushes: Iterable[tuple[str, Message]], *, wait: bool = True) -> None:
    """Send (group, message) pairs in order, and wait for all of them up to 0.5 s. Never raises.

    The rest is sent in the background for another 1.5 s, and dropped after that.
    """
    batch = list(pushes)
    if not batch:
        return
    future = None
    try:
        future = _get_loop().submit(batch, SEND_SECONDS)
        if wait:
            future.result(timeout=MAX_WAIT_SECONDS)
            return
    except Exception as error:  # noqa: BLE001 (a push is a hint: no error may reach the caller)
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
            # Redis may have closed this connection in a restart. The next one is new.
            await layer.group_send(group, message)


def _get_loop() -> _PushLoop:
    global _loop
    with _lock:
        if _loop is None:
            _loop = _PushLoop()
        return _loop


def _reset_after_fork() -> None:
    """Start a new loop after a fork: its thread only exists in the parent."""
    global _lock, _loop
    _lock = threading.Lock()
    _loop = None


os.register_at_fork(after_in_child=_reset_after_fork)


def _log_failure(future: "Future[None]") -> None:
    error = future.exception()
    if error is not None:
        _log(error)


def _log(error: BaseException) -> None:
    log.warning("push_failed", extra={"error": type(error).__name__})
