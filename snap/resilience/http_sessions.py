"""HTTP sessions in which the timeout of a request is for its whole response.

The timeout of `requests` and urllib3 is for each read. A server that sends a byte now and then
would hold a thread for ever. The size of a response is limited, too.
"""

import io
from http.client import HTTPResponse
from time import monotonic
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

# Bytes of a response, with its headers. Mail providers and receivers of traces send a few hundred.
MAX_RESPONSE = 1_000_000
# Seconds for a response to a request without a timeout.
DEFAULT_SECONDS = 20.0


class _LimitedReader(io.RawIOBase):
    """Reads a response from a socket. All reads together take the timeout of the socket."""

    def __init__(self, connection: Any, stream: io.RawIOBase) -> None:
        self._connection = connection
        self._stream = stream
        self._stop_at = monotonic() + (connection.gettimeout() or DEFAULT_SECONDS)
        self._left = MAX_RESPONSE

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        seconds = self._stop_at - monotonic()
        if seconds <= 0:
            raise TimeoutError("the response took too long")
        if self._left <= 0:
            raise ConnectionError("the response is too long")
        self._connection.settimeout(seconds)
        count = self._stream.readinto(buffer)
        self._left -= count or 0
        return count

    def close(self) -> None:
        self._stream.close()
        super().close()


class _LimitedResponse(HTTPResponse):
    def __init__(self, sock: Any, *arguments: Any, **options: Any) -> None:
        super().__init__(sock, *arguments, **options)
        self.fp = io.BufferedReader(_LimitedReader(sock, self.fp.detach()))


class _LimitedConnection(HTTPConnection):
    response_class = _LimitedResponse


class _LimitedTLSConnection(HTTPSConnection):
    response_class = _LimitedResponse


class _LimitedPool(HTTPConnectionPool):
    ConnectionCls = _LimitedConnection


class _LimitedTLSPool(HTTPSConnectionPool):
    ConnectionCls = _LimitedTLSConnection


POOLS = {"http": _LimitedPool, "https": _LimitedTLSPool}


class LimitedAdapter(HTTPAdapter):
    """Makes connections whose responses are limited, also through a proxy."""

    def init_poolmanager(self, *arguments: Any, **options: Any) -> None:
        super().init_poolmanager(*arguments, **options)
        self.poolmanager.pool_classes_by_scheme = POOLS

    def proxy_manager_for(self, *arguments: Any, **options: Any) -> Any:
        manager = super().proxy_manager_for(*arguments, **options)
        manager.pool_classes_by_scheme = POOLS
        return manager


def limit_responses(session: requests.Session) -> None:
    """Limit the time and the size of each response of a session."""
    for scheme in ("https://", "http://"):
        session.mount(scheme, LimitedAdapter())
