"""Websocket clients of the real ws process."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import cast

import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Origin

from tests.helpers.stack import Stack


@contextmanager
def open_socket(
    stack: Stack,
    key: object,
    *,
    cookie: str = "",
    kind: str = "guest-updates",
    origin: str | None = "",
    **headers: str,
) -> Iterator[ClientConnection]:
    """Open the socket of a ticket, or that of a pass by its token.

    `origin`: "" for the stack's own, None for no such header.
    """
    if origin == "":
        origin = stack.url
    if cookie:
        headers["Cookie"] = cookie
    with connect(
        f"ws://localhost:{stack.ws_port}/ws/{kind}/{key}/",
        origin=cast("Origin | None", origin),
        additional_headers=headers,
        open_timeout=10,
        proxy=None,
    ) as opened:
        yield opened


def refused_status(
    stack: Stack,
    key: object,
    *,
    cookie: str = "",
    kind: str = "guest-updates",
    origin: str = "",
) -> int:
    """Return the HTTP status of a handshake that is refused."""
    with (
        pytest.raises(InvalidStatus) as refused,
        open_socket(stack, key, cookie=cookie, kind=kind, origin=origin),
    ):
        pytest.fail("the socket was opened")
    return refused.value.response.status_code


def receive(opened: ClientConnection) -> dict[str, object]:
    """Return the next JSON message."""
    message: dict[str, object] = json.loads(opened.recv(timeout=10))
    return message
