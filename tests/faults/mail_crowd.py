"""Thousands of emails that are due, and the providers that receive them."""

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

from django.conf import settings
from django.db import connection, transaction
from django.db.models.functions import Now

from accounts.models import LoginCode
from guests.models import Event, Guest
from guests.qr.codes import draw_image, image_name, pass_url
from notifications.models import Email
from notifications.services import queue_email
from tests.bench.crowds import fill_list
from tests.factories import make_account, make_event
from tests.helpers.mail_providers.choice import PROVIDERS, Transport, environment
from tests.helpers.mail_providers.reports import Reporter, keys
from tests.helpers.stack import Stack

DONE = [Email.State.SENT, Email.State.DELIVERED]
# Quick recovery of a killed process, so that a storm fits in CI.
QUICK = {
    "BREAKER_PAUSE": "1",
    "EMAIL_LEASE": "10",
    "EMAIL_UNSURE_SECONDS": "20",
    "SWEEP_TAKES_OVER_EMAILS": "2",
}
CODE_PAUSE = 0.5  # seconds between two sign-in codes


# The people of a crowd have other phones and addresses than those of `make_account`.
RENAME = """
UPDATE accounts_user AS account
SET phone = '+35196' || lpad(account.id::text, 7, '0'),
    email = 'noite' || account.id || '@example.com'
FROM guests_guest AS guest WHERE guest.account_id = account.id AND guest.event_id = %(event)s;

UPDATE guests_guest AS guest SET phone = account.phone
FROM accounts_user AS account WHERE guest.account_id = account.id AND guest.event_id = %(event)s;

UPDATE notifications_email AS email
SET "to" = account.email, state = 'queued', sent_at = NULL, attempts = 0
FROM accounts_user AS account, guests_guest AS guest
WHERE guest.account_id = account.id AND email.cause = 'guest:' || guest.id || '/1'
    AND guest.event_id = %(event)s
"""


def queue_qr_emails(size: int, *, draws: bool = True) -> None:
    """Make guests whose QR emails are all due. Draws a QR code of their own for each of them."""
    event = make_event(capacity=size, title="Noite de São João")
    fill_list(event, size)
    if draws:
        draw_images(event)
    Email.objects.exclude(kind="qr_code").delete()
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL session_replication_role = replica")
        for statement in RENAME.split(";\n"):
            cursor.execute(statement, {"event": event.pk})


def draw_images(event: Event) -> None:
    """Give each guest an image of their own. Those of `fill_list` are links to one file."""
    for token in Guest.objects.filter(event=event).values_list("qr_token", flat=True):
        path = Path(settings.MEDIA_ROOT) / image_name(str(token))
        path.unlink()
        path.write_bytes(draw_image(pass_url(str(token))))


@contextmanager
def played(stack: Stack, *names: str, **env: str) -> Iterator[Sequence[Transport]]:
    """Play providers, the first one and the fallback, and let them report what they delivered.

    The processes that send emails and receive reports run with them during the block.
    """
    servers = [PROVIDERS[name]() for name in names]
    sender = {"DEFAULT_FROM_EMAIL": "SNAP <no-reply@mail.example>"}
    env = environment(*servers) | keys() | sender | env
    changed = ("web", "emails", "sweeper")
    try:
        for server in servers:
            server.start()
        with Reporter(f"{stack.url}/webhooks/mail/{{}}/") as reporter:
            for server in servers:
                server.on_accept.append(reporter)
            stack.restart(*changed, **env)
            yield servers
    finally:
        for server in servers:
            server.stop()
        stack.restart(*changed)


def copies_of(servers: Sequence[Transport]) -> Counter[str]:
    """Return how many copies each recipient got from all providers together."""
    copies: Counter[str] = Counter()
    for server in servers:
        for (recipient, _), count in server.copies.items():
            copies[recipient] += count
    return copies


def accepted_by(servers: Sequence[Transport]) -> int:
    return sum(server.copies.total() for server in servers)


def state_of_queue() -> str:
    """Return how many emails are in which state, with the provider that they wait for."""
    rows = Email.objects.values_list("state", "unsure_provider", "error")
    return str(Counter(rows).most_common(8))


def wait_until(is_true: Callable[[], bool], seconds: float) -> None:
    """Wait, and say how the queue stands if it takes too long."""
    deadline = time.monotonic() + seconds
    while not is_true():
        assert time.monotonic() < deadline, state_of_queue()
        time.sleep(0.1)


class SignInCodes:
    """Queues a sign-in code every CODE_PAUSE seconds, from another thread."""

    def __init__(self) -> None:
        self.queued_at: dict[str, float] = {}
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="sign-in codes")

    def __enter__(self) -> "SignInCodes":
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._over.wait(CODE_PAUSE):
            address = queue_code()
            self.queued_at[address] = time.time()
        connection.close()

    def seconds(self, servers: Sequence[Transport]) -> list[float]:
        """Return how long each received code took, the shortest first."""
        received = {}
        for server in servers:
            for (recipient, _), at in server.accepted_at.items():
                received[recipient] = at
        waits = [received[to] - at for to, at in self.queued_at.items() if to in received]
        return sorted(waits)


def queue_code() -> str:
    """Queue a sign-in code of a new account, and return its address."""
    account = make_account()
    expires_at = Now() + timedelta(seconds=settings.LOGIN_CODE_AGE)
    code = LoginCode.objects.create(account=account, browser="b" * 32, expires_at=expires_at)
    queue_email(
        "login_code", f"login_code:{code.pk}", to=account.email, language="pt-pt", fast=True
    )
    return account.email
