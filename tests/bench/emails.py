"""The CPU of an email, emails a second against a slow provider, and the memory of the process.

The measured process is the one of the Procfile, with everything that it does for an email: it is
claimed, its contents are read, it is rendered, encoded and handed over, the response is kept on the
disk, the row is written and a line is logged.
"""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from time import process_time

from django.conf import settings
from django.core.mail import EmailMessage, EmailMultiAlternatives, get_connection, send_mail
from django.db.models import QuerySet
from django.utils import timezone

from accounts.models import LoginCode, User
from guests.requests.creating import create_due_guests
from notifications.messages import RelatedMessage, build_messages
from notifications.models import Email
from notifications.services import (
    EmailToQueue,
    queue_emails,
    wake_codes_worker,
    wake_emails_worker,
)
from snap.local import processes
from snap.local.embedded import free_port
from snap.local.processes import Process
from tests.bench.bench import Bench, open_event
from tests.bench.figures import Figures, under
from tests.bench.people import make_accounts, make_due_requests
from tests.bench.usage import CpuWindow, memory_mib

# Seconds that a provider takes for an email.
DELAY = 0.05
# Maximum seconds until the emails of a measurement are sent.
LIMIT = 300.0
# Emails that are sent before a measurement begins.
WARM_UP = 500
SENDER = "SNAP <no-reply@example.com>"
DJANGO_SMTP = "django.core.mail.backends.smtp.EmailBackend"
# Makes what emails to accounts are about, and queues them.
MakeRows = Callable[[list[int]], None]


def emails(bench: Bench) -> Figures:
    """Measure kinds of email one after the other, and then slow providers."""
    figures: Figures = {}
    with bench.stack.without("sweeper"):
        for kind in KINDS:
            figures |= under(kind, _cpu(bench, kind))
            figures |= under(kind, _plain(bench, kind))
        for name in ("resend", "smtp"):
            figures |= under(f"slow {name}", _throughput(bench, name))
        bench.stack.restart("emails")
    return figures


# Rows -------------------------------------------------------------------------------------------


def _make_places(accounts: list[int]) -> None:
    """Give guests places. Their QR codes are drawn and stored, and their emails queued."""
    make_due_requests(open_event("emails"), accounts)
    create_due_guests()


def _make_welcomes(accounts: list[int]) -> None:
    _queue("welcome", [(f"account:{pk}", pk) for pk in accounts])


def _make_codes(accounts: list[int]) -> None:
    expires_at = timezone.now() + timedelta(hours=1)
    codes = [LoginCode(account_id=pk, browser="b" * 32, expires_at=expires_at) for pk in accounts]
    LoginCode.objects.bulk_create(codes)
    causes = [(f"login_code:{code.pk}", code.account_id) for code in codes]
    _queue("login_code", causes, fast=True)


def _queue(kind: str, causes: list[tuple[str, int]], *, fast: bool = False) -> None:
    people = User.objects.in_bulk([pk for _, pk in causes])
    queue_emails(
        EmailToQueue(kind, cause, people[pk].email, people[pk].language, fast=fast)
        for cause, pk in causes
    )


KINDS: dict[str, MakeRows] = {
    "qr_code": _make_places,
    "welcome": _make_welcomes,
    "login_code": _make_codes,
}


@contextmanager
def _waiting(bench: Bench, kind: str, size: int, **variables: str) -> Iterator[QuerySet[Email]]:
    """Make emails that are due in a day. `emails` starts after that, with these variables."""
    with bench.stack.without("emails"):
        bench.stack.processes["emails"].env = bench.stack.env | variables
        KINDS[kind](make_accounts(size))
        waiting = Email.objects.filter(kind=kind, state="queued")
        ids = list(waiting.values_list("pk", flat=True))
        waiting.update(next_attempt_at=timezone.now() + timedelta(days=1))
    yield Email.objects.filter(pk__in=ids)


def _send(waiting: QuerySet[Email]) -> float:
    """Make emails due and wait until all are sent. Return the seconds."""
    began = time.monotonic()
    waiting.update(next_attempt_at=timezone.now())
    while waiting.filter(state="queued").exists():
        wake_emails_worker()
        wake_codes_worker()
        if time.monotonic() > began + LIMIT:
            raise RuntimeError("emails are still due")
        time.sleep(0.1)
    sent = waiting.filter(state="sent").count()
    assert sent == waiting.count(), f"{sent} emails were sent"
    return time.monotonic() - began


# Measurements -----------------------------------------------------------------------------------


def _cpu(bench: Bench, kind: str) -> Figures:
    """Return the CPU of an email of a kind, its emails a second, and the memory of the process."""
    with _waiting(bench, kind, bench.size(10_000 + WARM_UP)) as waiting:
        ids = list(waiting.order_by("pk").values_list("pk", flat=True))
        _send(Email.objects.filter(pk__in=ids[: bench.size(WARM_UP)]))
        before, window = _mib(bench), CpuWindow(bench.stack.pids)
        seconds = _send(Email.objects.filter(pk__in=ids[bench.size(WARM_UP) :]))
        used, after = window.close(), _mib(bench)
    count = len(ids) - bench.size(WARM_UP)
    return {
        "emails": count,
        "rate": count / seconds,
        "cpu/emails": used["emails"] * 1000 / count,
        "cpu/PostgreSQL": used["PostgreSQL"] * 1000 / count,
        "MiB/before": before,
        "MiB/after": after,
    }


def _plain(bench: Bench, kind: str) -> Figures:
    """Return the CPU of Django alone for the same message, whose texts are given to it."""
    message = _message_of(kind)
    ((html, _),) = message.alternatives
    count = bench.size(500)
    began = process_time()
    backend = get_connection(DJANGO_SMTP)
    for _ in range(count):
        send_mail(
            str(message.subject),
            str(message.body),
            message.from_email,
            message.to,
            html_message=str(html),
            connection=backend,
        )
    alone, began = process_time() - began, process_time()
    backend.open()
    for _ in range(count):
        _copy_of(message, backend).send()
    backend.close()
    kept = process_time() - began
    return {"send_mail": alone * 1000 / count, "kept": kept * 1000 / count}


def _message_of(kind: str) -> RelatedMessage:
    email = Email.objects.filter(kind=kind, state="sent").latest("pk")
    message = build_messages([email])[email.pk]
    assert isinstance(message, RelatedMessage)
    return message


def _copy_of(message: RelatedMessage, backend: object) -> EmailMessage:
    """Return Django's message with the same texts, images and files."""
    copy = EmailMultiAlternatives(
        str(message.subject),
        str(message.body),
        message.from_email,
        message.to,
        connection=backend,
        headers=message.extra_headers,
    )
    for html, content_type in message.alternatives:
        copy.attach_alternative(html, content_type)
    for file in message.attachments:
        copy.attach(file)
    return copy


def _throughput(bench: Bench, name: str) -> Figures:
    """Return how many emails one process sends in a second to a provider that takes DELAY."""
    port = free_port()
    programs = {
        "resend": (
            f"{sys.executable} -m tests.bench.slow_provider {port} {DELAY}",
            {"RESEND_API_KEY": "key", "RESEND_API_URL": f"http://127.0.0.1:{port}/"},
        ),
        "smtp": (
            f"{sys.executable} -m tests.bench.sink {port} {DELAY}",
            {"EMAIL_PORT": str(port)},
        ),
    }
    command, variables = programs[name]
    provider = Process("slow provider", command, bench.stack.env)
    with bench.stack.log_path("slow provider").open("wb") as log:
        provider.start(log)
    chosen = {"EMAIL_PROVIDER": name, "DEFAULT_FROM_EMAIL": SENDER, **variables}
    try:
        with _waiting(bench, "welcome", bench.size(5_000 + WARM_UP), **chosen) as waiting:
            ids = list(waiting.order_by("pk").values_list("pk", flat=True))
            _send(Email.objects.filter(pk__in=ids[: bench.size(WARM_UP)]))
            window = CpuWindow(bench.stack.pids)
            seconds = _send(Email.objects.filter(pk__in=ids[bench.size(WARM_UP) :]))
            used = window.close()
    finally:
        processes.stop([provider], 5.0)
    count = len(ids) - bench.size(WARM_UP)
    return {
        "emails": count,
        "rate": count / seconds,
        "cpu/emails": used["emails"] * 1000 / count,
        "connections": settings.EMAIL_CONNECTIONS,
    }


def _mib(bench: Bench) -> float:
    return memory_mib({"emails": bench.stack.pids["emails"]})["emails"]
