"""Whether the processes that `make run` started accept requests."""

import socket
import urllib.error
import urllib.request
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
    # ALLOWED_HOSTS has the public name in every case.
    headers = {"Host": urlsplit(settings.PUBLIC_URL).netloc}
    request = urllib.request.Request(f"http://{host}:{port}/readyz", headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=5) as response:  # noqa: S310  # nosec B310
            return bool(response.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def accepts_connections(host: str, port: int) -> bool:
    try:
        socket.create_connection((host, port), timeout=1).close()
    except OSError:
        return False
    return True
