"""Emergency mode postpones emails. Codes never wait, and nothing waits for ever."""

from datetime import timedelta

import pytest
from django.core.management import call_command
from django.db.models.functions import Now
from pytest_django import Settings

from notifications.kinds import bulk_kinds, known_kinds
from notifications.models import Email
from notifications.sending import send_due_emails
from snap.control.modes import EMERGENCY, QUEUE
from tests.helpers.load import mode_on

pytestmark = pytest.mark.django_db(transaction=True)


def queue(kind: str, *, age: float = 0, fast: bool = False) -> Email:
    row = Email.objects.create(
        kind=kind, cause=f"{kind}:{age}", to="ana@example.com", language="en", fast=fast
    )
    Email.objects.filter(pk=row.pk).update(next_attempt_at=Now() - timedelta(seconds=age))
    return row


def is_due(row: Email) -> bool:
    return Email.objects.due().filter(pk=row.pk).exists()


@pytest.mark.parametrize("kind", [kind for kind in known_kinds() if kind != "login_code"])
def test_each_kind_waits_for_a_while(kind: str, settings: Settings) -> None:
    wait = settings.MODE_EMAIL_SECONDS
    if kind in bulk_kinds():
        wait = settings.MODE_BULK_EMAIL_SECONDS
    new, waited = queue(kind, age=wait - 5), queue(kind, age=wait + 5)
    with mode_on(EMERGENCY):
        assert not is_due(new)
        assert is_due(waited)
    assert is_due(new)
    with mode_on(QUEUE):
        assert is_due(new)


def test_codes_never_wait() -> None:
    with mode_on(EMERGENCY, QUEUE):
        assert is_due(queue("login_code", fast=True))


def test_emails_that_waited_are_sent_when_the_mode_has_ended() -> None:
    queue("welcome")
    with mode_on(EMERGENCY):
        assert send_due_emails(fast=False) == 0
        assert Email.objects.get().state == Email.State.QUEUED
    # The cause of this email is no account: it is cancelled, as nobody wants it.
    assert send_due_emails(fast=False) == 1
    assert Email.objects.get().state == Email.State.CANCELLED


def test_the_sweeper_does_not_send_what_waits(settings: Settings) -> None:
    queue("welcome", age=settings.SWEEP_TAKES_OVER_EMAILS + 5)
    with mode_on(EMERGENCY):
        call_command("sweeper", once=True)
        assert Email.objects.get().state == Email.State.QUEUED


def test_the_sweeper_leaves_emails_whose_wait_is_over_to_the_workers(settings: Settings) -> None:
    """Without the wait in its patience it would send all of them at the moment of their turn."""
    queue("welcome", age=settings.MODE_EMAIL_SECONDS + 5)
    with mode_on(EMERGENCY):
        call_command("sweeper", once=True)
        assert Email.objects.get().state == Email.State.QUEUED
