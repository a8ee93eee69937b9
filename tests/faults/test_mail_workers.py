"""Workers that stop in the middle of a batch, and a provider that comes and goes."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from notifications.models import Email
from notifications.services import wake_emails_worker
from tests.faults.breaking import pause
from tests.faults.mail_crowd import DONE, QUICK, copies_of, played, queue_qr_emails, wait_until
from tests.helpers.mail_providers.faults import Fault
from tests.helpers.mail_providers.http_server import HTTPProvider
from tests.helpers.stack import Stack

pytestmark = [pytest.mark.processes, pytest.mark.slow, pytest.mark.timeout(600)]

SIZE = 200
PATIENCE = 240.0


def all_done() -> bool:
    return not Email.objects.exclude(state__in=DONE).exists()


def test_emails_process_freezes_longer_than_its_lease(faulty: Stack) -> None:
    """The sweeper takes over. When the process goes on, it hands over nothing of its old batch."""
    queue_qr_emails(SIZE, draws=False)
    with played(faulty, "mailgun", **QUICK | {"EMAIL_LEASE": "4"}) as servers:
        (mailgun,) = servers
        assert isinstance(mailgun, HTTPProvider)
        mailgun.fault = Fault("responds after 0.3 s", accepts=True, wait=0.3)
        wake_emails_worker()
        wait_until(lambda: mailgun.copies.total() > 10, PATIENCE)
        with faulty.frozen("emails"):
            wait_until(all_done, PATIENCE)
        pause(5)
        assert set(copies_of(servers).values()) == {1}
        assert mailgun.copies.total() == SIZE
        assert mailgun.wrong == []


def test_a_provider_that_comes_and_goes_sends_one_copy_with_its_fallback(faulty: Stack) -> None:
    queue_qr_emails(SIZE, draws=False)
    with played(faulty, "resend", "mailgun", **QUICK) as servers:
        first, second = servers
        assert isinstance(first, HTTPProvider)
        assert isinstance(second, HTTPProvider)
        first.fault = second.fault = Fault("responds after 0.2 s", accepts=True, wait=0.2)
        with flapping(first):
            wake_emails_worker()
            wait_until(all_done, PATIENCE)
        assert set(copies_of(servers).values()) == {1}
        assert first.copies.total() + second.copies.total() == SIZE
        assert first.wrong == second.wrong == []


@contextmanager
def flapping(provider: HTTPProvider) -> Iterator[None]:
    """Take a provider away and bring it back all the time, in the middle of requests."""
    over = threading.Event()

    def flap() -> None:
        while not over.wait(0.7):
            with provider.away():
                over.wait(0.4)

    thread = threading.Thread(target=flap, name="flapping provider")
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
