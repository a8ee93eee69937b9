"""A night's emails: a provider that fails in every way, one that is away, and codes in between.

Emails are counted where they are received. The queue is filled by SQL, because the guests' way to a
place is measured elsewhere.
"""

import time
from collections import Counter
from collections.abc import Sequence
from functools import partial

import pytest
from django.db.models import Count

from notifications.models import Email
from notifications.services import wake_emails_worker
from tests.faults.breaking import pause
from tests.faults.mail_crowd import (
    DONE,
    QUICK,
    SignInCodes,
    accepted_by,
    copies_of,
    played,
    queue_code,
    queue_qr_emails,
    wait_until,
)
from tests.faults.scenario import Conclude, Form, MakeStorm
from tests.helpers.mail_providers import faults
from tests.helpers.mail_providers.choice import Transport
from tests.helpers.mail_providers.http_server import HTTPProvider
from tests.helpers.scans import scan
from tests.helpers.stack import Stack, wait_for

pytestmark = [pytest.mark.processes, pytest.mark.slow]

SHARE = 0.05  # of the requests fail


def both_http(servers: Sequence[Transport]) -> tuple[HTTPProvider, HTTPProvider]:
    first, second = servers
    assert isinstance(first, HTTPProvider)
    assert isinstance(second, HTTPProvider)
    return first, second


def undone() -> int:
    return Email.objects.exclude(state__in=DONE).count()


@pytest.mark.timeout(1500)
@pytest.mark.parametrize("names", [("resend", "mailgun"), ("mailgun", "resend")], ids="-".join)
def test_mail_provider_fails_in_every_way(
    faulty: Stack, make_storm: MakeStorm, conclude: Conclude, form: Form, names: tuple[str, str]
) -> None:
    """A twentieth of the requests fails in every way there is; twice the provider is away.

    The protections are the outcomes on the disk, the provider on the row of an email with a lost
    response, idempotency keys, and reports. The emails process is killed in between as well.
    """
    size, patience = int(form(600, 10_000)), form(300, 900)
    queue_qr_emails(size)
    with played(faulty, *names, **QUICK) as servers:
        first, second = both_http(servers)
        first.mix, first.share = faults.ALL, SHARE

        def take_over(until: float) -> None:
            """Wait for a part of the emails, then take the first provider away for a tenth."""
            wait_until(lambda: accepted_by(servers) >= size * until, patience)
            before = second.copies.total()
            with first.away():
                wait_until(lambda: second.copies.total() >= before + size / 10, patience)

        began = time.time()
        wake_emails_worker()
        storm, codes = make_storm(int(form(40, 400)), rate=form(2, 4)), SignInCodes()
        with storm, codes:
            take_over(0.2)
            wait_until(lambda: accepted_by(servers) >= size * 0.5, patience)
            faulty.kill("emails")
            faulty.start("emails")
            take_over(0.6)
            wait_until(lambda: undone() < size / 10, patience)
        healed_at = time.time()
        wait_until(lambda: not undone(), patience)
        seconds = time.time() - began
        delivered = Email.objects.filter(state=Email.State.DELIVERED)
        wait_until(lambda: delivered.count() == Email.objects.count(), patience)
        check(servers)
        waits = codes.seconds(servers)
        assert len(waits) == len(codes.queued_at)
    conclude(
        storm,
        broken=f"{size:,} QR emails were due while visitors came. {names[0].title()} failed"
        f" {SHARE:.0%} of its requests ({listed(first.played)}) and was away twice; the emails"
        f" process was killed in between. {sent_by()} in {seconds:.0f} s, one copy each, counted"
        f" where they were received. {len(waits)} sign-in codes took {waits[len(waits) // 2]:.1f} s"
        f" at the median, {waits[int(len(waits) * 0.95)]:.1f} s at the 95th percentile and"
        f" {waits[-1]:.1f} s at most, the restart of the process included."
        f" EMAIL_UNSURE_SECONDS was {QUICK['EMAIL_UNSURE_SECONDS']}.",
        healed_at=healed_at,
    )


def listed(counts: Counter[str]) -> str:
    return ", ".join(f"{name}: {count}" for name, count in sorted(counts.items()))


def sent_by() -> str:
    """Return how many emails each provider sent, as the start of a sentence."""
    counts = Email.objects.order_by("provider").values_list("provider").annotate(Count("pk"))
    return " and ".join(f"{name.title()} sent {count:,} emails" for name, count in counts)


def check(servers: Sequence[Transport]) -> None:
    """Check what was received: one copy of each email, with the QR code of its guest."""
    copies = copies_of(servers)
    rows = Counter(Email.objects.values_list("to", flat=True))
    assert copies == rows, Counter(copies) - rows or rows - Counter(copies)
    for server in servers:
        assert isinstance(server, HTTPProvider)
        assert server.wrong == []
        of_provider = Email.objects.filter(provider=server.name).values_list("to", flat=True)
        assert set(of_provider) == {to for to, _ in server.copies}
        with_code = [email for email in server.emails if email.inline]
        for email in with_code[::50]:
            (image,) = email.inline.values()
            token = scan(image.content).rpartition("/")[2]
            assert token in email.text


@pytest.mark.timeout(1500)
def test_mail_provider_is_away(
    faulty: Stack, make_storm: MakeStorm, conclude: Conclude, form: Form
) -> None:
    """The only provider is away while guests get their places. All emails are sent after.

    The protection is that emails are rows: nothing of a guest's way waits for the provider.
    """
    seconds = form(12, 600)
    with played(faulty, "mailgun", **QUICK) as servers:
        (mailgun,) = servers
        assert isinstance(mailgun, HTTPProvider)
        with mailgun.away():
            storm = make_storm(int(form(100, 3000)), rate=form(6, 5))
            with storm:
                pause(seconds)
            assert Email.objects.exists()
            assert not mailgun.copies
        healed_at = time.time()
        wait_until(lambda: not undone_or_wanted(), form(120, 300))
        copies = copies_of(servers)
        sent = Counter(Email.objects.filter(state__in=DONE).values_list("to", flat=True))
        assert copies == sent
        assert mailgun.wrong == []
        assert not Email.objects.filter(attempts__gt=0).exists()
    conclude(
        storm,
        broken=f"The only mail provider refused connections for {seconds:g} s. Visitors got their"
        f" places meanwhile. All {copies.total():,} emails were sent"
        f" {time.time() - healed_at:.0f} s after it was back, none twice.",
        healed_at=healed_at,
    )


def undone_or_wanted() -> int:
    return Email.objects.exclude(state__in=[*DONE, Email.State.CANCELLED]).count()


@pytest.mark.timeout(400)
def test_a_code_never_waits_behind_the_night(faulty: Stack) -> None:
    """5,000 QR emails are due at a provider that takes a second for each; codes pass them all."""
    queue_qr_emails(5000, draws=False)
    slow = faults.Fault("responds after a second", accepts=True, wait=1.0)
    with played(faulty, "mailgun", **QUICK) as servers:
        (mailgun,) = servers
        assert isinstance(mailgun, HTTPProvider)
        mailgun.fault = slow
        wake_emails_worker()
        wait_for(lambda: mailgun.copies.total() > 20, 60)
        for _ in range(5):
            before = mailgun.copies.total()
            address = queue_code()
            wait_for(partial(copy_of, servers, address), 20)
            overtaken = mailgun.copies.total() - before
            assert overtaken < 200
        assert undone() > 3000


def copy_of(servers: Sequence[Transport], address: str) -> int:
    return copies_of(servers)[address]
