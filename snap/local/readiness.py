"""Whether the processes that `make run` started accept requests."""

import socket
from contextlib import suppress
from http.client import HTTPConnection, HTTPException
from urllib.parse import urlsplit

from django.conf import settings
from redis.exceptions import RedisError

from snap.local.environment import Addresses
from snap.resilience.workers import has_heartbeat

# The processes that are workers, and a queue of each.
WORKER_QUEUES = {"worker": "guests", "emails": "emails"}


def is_ready(name: str, addresses: Addresses) -> bool:
    """Return whether a process of the Procfile works. The sweeper counts as ready at once."""
    if name == "web":
        return web_is_ready(addresses.local_host, addresses.web_port)
    if name == "ws":
        return accepts_connections(addresses.local_host, addresses.ws_port)
    if name in WORKER_QUEUES:
        return worker_is_ready(WORKER_QUEUES[name])
    return True


def worker_is_ready(queue: str) -> bool:
    with suppress(RedisError):
        return has_heartbeat(queue)
    return False


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
