"""Mail providers that run on loopback, and the choice of one or two of them."""

from collections.abc import Iterator

import pytest
from pytest_django import Settings

from tests.helpers.mail_providers.choice import PROVIDERS, Choose, Transport, send_with


@pytest.fixture
def choose(settings: Settings) -> Iterator[Choose]:
    """Return a function that starts providers, the first one and the fallback.

    Those that it started before are stopped.
    """
    started: list[Transport] = []

    def stop() -> None:
        for server in started:
            server.stop()
        started.clear()

    def start(*names: str) -> list[Transport]:
        stop()
        for name in names:
            server = PROVIDERS[name]()
            server.start()
            started.append(server)
        send_with(settings, *started)
        return list(started)

    yield start
    stop()
