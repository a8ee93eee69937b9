"""Websockets of the real ws process."""

import json
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import ClientConnection, connect

from tests.helpers.stack import Stack


@contextmanager
def open_socket(
    stack: Stack,
    ticket_id: object,
    *,
    cookie: str = "",
    kind: str = "guest-updates",
    origin: str | None = "",
    **headers: str,
) -> Iterator[ClientConnection]:
    """Open the socket of a ticket. Its origin is the stack's own unless another one is given."""
    given = {"Cookie": cookie} | headers
    with connect(
        f"ws://localhost:{stack.ws_port}/ws/{kind}/{ticket_id}/",
        origin=stack.url if origin == "" else origin,  # type: ignore[arg-type]
        additional_headers={name: value for name, value in given.items() if value},
        open_timeout=10,
        proxy=None,
    ) as opened:
        yield opened


def status_of_refusal(stack: Stack, ticket_id: object, **how: str) -> int:
    """Return the status with which the server refuses a socket. Fail if the socket opens."""
    with pytest.raises(InvalidStatus) as refused, open_socket(stack, ticket_id, **how):
        pytest.fail("the socket was opened")
    return refused.value.response.status_code


def receive(opened: ClientConnection) -> dict[str, object]:
    """Return the next message of a `guest-updates` socket."""
    message: dict[str, object] = json.loads(opened.recv(timeout=10))
    return message
