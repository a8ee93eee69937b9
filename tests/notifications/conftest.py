"""A kind of email that only these tests send, and a mail server that receives it."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from pytest_django import Settings

from notifications.delivery import provider
from notifications.kinds import EmailContent, email_kind
from tests.helpers.mail_servers import Sink, send_to


@email_kind("note")
def note(cause: str) -> EmailContent | None:
    """Return a note with its cause. The causes `gone:…` and `broken:…` have none or raise."""
    if cause.startswith("gone:"):
        return None
    if cause.startswith("broken:"):
        raise KeyError("somebody@example.pt has the code 123456")
    return EmailContent({"text": cause})


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
    """Close the breaker that another test may have opened."""
    provider.succeeded()
    yield
    provider.succeeded()
