"""Kinds of email that only these tests send, and a mail server that receives them."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pytest
from django.db import OperationalError
from pytest_django import Settings

from notifications.kinds import EmailContent, email_kind
from snap.local_cache import reset_process_state
from tests.helpers.mail_providers.choice import (
    PROVIDERS,
    Choose,
    Transport,
    forget_failures,
    send_with,
)
from tests.helpers.mail_servers import Sink, send_to


@email_kind("note")
def note(causes: Sequence[str]) -> Mapping[str, EmailContent]:
    """Return notes with their causes. The causes `gone:…` and `broken:…` have none or raise."""
    if any(cause.startswith("broken:") for cause in causes):
        raise KeyError("somebody@example.pt has the code 123456")
    if any(cause.startswith("away:") for cause in causes):
        raise OperationalError("the database is away")
    wanted = [cause for cause in causes if not cause.startswith("gone:")]
    return {cause: EmailContent({}, {"text": cause}) for cause in wanted}


email_kind("bulk_note", is_bulk=True)(note)


@pytest.fixture
def sink(settings: Settings) -> Iterator[Sink]:
    """A running mail server, to which this process sends by SMTP."""
    server = Sink()
    send_to(settings, server)
    server.start()
    yield server
    server.stop()


@pytest.fixture(autouse=True)
def _note_templates(settings: Settings) -> None:
    engine = settings.TEMPLATES[0]
    templates = Path(__file__).parent / "templates"
    settings.TEMPLATES = [{**engine, "DIRS": [*engine["DIRS"], templates]}]


@pytest.fixture(autouse=True)
def _closed_breaker() -> Iterator[None]:
    """Begin with new breakers, which no probe of the previous test can open."""
    forget_failures()
    yield
    reset_process_state()


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
