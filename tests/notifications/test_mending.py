"""A provider that refuses our key, sender or domain stops, and resumes by itself when mended."""

import logging
from collections.abc import Iterator
from time import monotonic

import pytest
from django.db.models.functions import Now
from django.test import Client
from prometheus_client import REGISTRY
from pytest_django import Settings

from notifications import mending
from notifications.models import Email
from notifications.providers import providers
from notifications.sending import send_due_emails
from tests.helpers.example_emails import queue_note
from tests.helpers.mail_servers import Sink

pytestmark = pytest.mark.django_db(transaction=True)

OURS = "550 5.7.26 This mail is unauthenticated"


@pytest.fixture
def second(settings: Settings) -> Iterator[Sink]:
    """A second mail server, the fallback of the first."""
    server = Sink()
    settings.EMAIL_PROVIDER = settings.EMAIL_FALLBACK_PROVIDER = "smtp"
    settings.EMAIL_FALLBACK_BACKEND = settings.EMAIL_BACKENDS["smtp"]
    settings.EMAIL_FALLBACK_HOST, settings.EMAIL_FALLBACK_PORT = "127.0.0.1", server.port
    server.start()
    yield server
    server.stop()


def gauge() -> float | None:
    name = providers()[0].name
    return REGISTRY.get_sample_value("mail_provider_needs_mending", {"provider": name})


def send_all() -> None:
    Email.objects.filter(state="queued").update(next_attempt_at=Now())
    send_due_emails()


def test_it_stops_and_uses_up_no_attempt(sink: Sink, caplog: pytest.LogCaptureFixture) -> None:
    sink.replies["ana@example.pt"] = OURS
    queue_note("note:1")
    send_due_emails()
    queue_note("note:2", to="rui@example.pt")
    send_all()
    assert [(e.state, e.attempts) for e in Email.objects.order_by("pk")] == [("queued", 0)] * 2
    assert (sink.recipients, gauge()) == ([], 1)
    errors = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert [record.message for record in errors] == ["mail_provider_needs_mending"]
    assert "5.7.26" in Email.objects.earliest("pk").error


def test_one_email_a_minute_finds_out_that_it_was_mended(
    sink: Sink, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mending, "MENDING_PAUSE", 0.05)
    sink.replies["ana@example.pt"] = OURS
    for number in range(3):
        queue_note(f"note:{number}")
    send_due_emails(limit=1)
    sink.replies.clear()
    began = monotonic()
    while Email.objects.filter(state="queued").exists() and monotonic() < began + 10:
        send_all()
    assert (len(sink.messages), gauge()) == (3, 0)
    assert not providers()[0].mending.is_needed


def test_the_fallback_sends_meanwhile(sink: Sink, second: Sink) -> None:
    sink.replies["ana@example.pt"] = OURS
    email = queue_note("note:1")
    send_all()
    send_all()
    email.refresh_from_db()
    assert (email.state, email.provider, email.attempts) == ("sent", "smtp_fallback", 0)
    assert (len(sink.messages), len(second.messages)) == (0, 1)


def test_two_mail_servers_take_over_and_give_back(sink: Sink, second: Sink) -> None:
    names: list[str] = []
    for is_first_away in (False, True, False):
        first = providers()[0].breaker
        first.succeeded()
        if is_first_away:
            sink.stop()
            for _ in range(first.threshold):
                first.failed()
        queue_note(f"note:{len(names)}")
        send_all()
        names.append(Email.objects.latest("pk").provider)
        if is_first_away:
            sink.start()
    assert names == ["smtp", "smtp_fallback", "smtp"]
    assert (len(sink.messages), len(second.messages)) == (2, 1)


def test_an_email_that_was_under_way_before_does_not_end_the_stop() -> None:
    state = mending.Mending("smtp")
    began = monotonic()
    state.failed("403")
    state.succeeded(began)
    assert state.is_needed
    state.succeeded(monotonic())
    assert not state.is_needed


def test_admin_tells_staff_what_is_to_mend(sink: Sink, admin: Client) -> None:
    url = "/admin/notifications/email/"
    assert "5.7.26" not in admin.get(url).content.decode()
    sink.replies["ana@example.pt"] = OURS
    queue_note("note:1")
    send_due_emails()
    Email.objects.all().delete()
    page = admin.get(url).content.decode()
    assert "550 5.7.26" in page
    assert "messagelist" in page
