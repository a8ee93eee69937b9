"""Whether the processes that `make run` started accept requests."""

import socket
from http.client import HTTPConnection, HTTPException
from urllib.parse import urlsplit

from django.conf import settings

from snap.local.environment import Addresses


def is_ready(name: str, addresses: Addresses) -> bool:
    """Return whether a process of the Procfile accepts requests. Workers count as ready at once."""
    if name == "web":
        return web_is_ready(addresses.local_host, addresses.web_port)
    if name == "ws":
        return accepts_connections(addresses.local_host, addresses.ws_port)
    return True


def web_is_ready(host: str, port: int) -> bool:
    """Return whether web accepts requests. The request goes through no proxy."""
    # ALLOWED_HOSTS has the public name in every case.
    headers = {"Host": urlsplit(settings.PUBLIC_URL).netloc}
    client = HTTPConnection(host, port, timeout=5)
    try:
        client.request("GET", "/readyz", headers=headers)
        return client.getresponse().status == 200
    except (HTTPException, OSError):
        return False
    finally:
        client.close()


def accepts_connections(host: str, port: int) -> bool:
    try:
        socket.create_connection((host, port), timeout=1).close()
    except OSError:
        return False
    return True
