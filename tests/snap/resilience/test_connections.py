"""Attempts to connect to PostgreSQL that fail."""

import gc
import socket
from collections.abc import Callable, Iterator

import psycopg
import pytest

from snap.control import snapshot
from snap.resilience.connections import BoundedConnection
from snap.resilience.database import database_responds

OPTIONS = {"sslmode": "disable", "gssencmode": "disable", "connect_timeout": 2}


@pytest.fixture
def frozen_server(monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    """A server whose kernel accepts connections, and that says nothing, without garbage collection.

    A process without work to do collects no garbage either.
    """
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        parameters = {"host": "127.0.0.1", "port": port, "dbname": "snap", "user": "snap"}
        monkeypatch.setattr(
            "django.db.connection.get_connection_params", lambda: parameters | OPTIONS
        )
        gc.disable()
        yield server
        gc.enable()


def connect() -> None:
    with pytest.raises(psycopg.errors.ConnectionTimeout):
        BoundedConnection.connect(**snapshot._parameters())


@pytest.mark.parametrize("ask", [connect, database_responds, lambda: snapshot._refresh_over(None)])
def test_an_attempt_that_times_out_is_closed_at_once(
    frozen_server: socket.socket, ask: Callable[[], object]
) -> None:
    """PostgreSQL would count it as a connection once it is back."""
    ask()
    attempt, _ = frozen_server.accept()
    with attempt:
        attempt.settimeout(1)
        while attempt.recv(4096):
            pass
