"""What the row of an email says after each failure of a provider, and that one copy arrives.

A provider that has certainly not accepted an email may be tried again, and so may the other one. An
email whose response was lost stays with its provider: that one is tried again with the idempotency
key at once, or without a key after EMAIL_UNSURE_SECONDS, unless its report comes first.
"""

import time
from dataclasses import dataclass
from datetime import timedelta

import pytest
from django.db.models.functions import Now
from django.utils import timezone
from pytest_django import Settings

from notifications import providers as provider_module
from notifications.models import Email
from notifications.providers import providers
from notifications.sending import send_due_emails
from snap.local_cache import reset_process_state
from tests.helpers.example_emails import queue_note
from tests.helpers.mail_providers import faults
from tests.helpers.mail_providers.choice import Choose, forget_failures, set_timeout
from tests.helpers.mail_providers.faults import Fault
from tests.helpers.mail_providers.http_server import HTTPProvider
from tests.helpers.stack import wait_for

pytestmark = [
    pytest.mark.django_db,
    # The authors of anymail cannot test SendGrid any more. These tests show that it works here.
    pytest.mark.filterwarnings("ignore:django-anymail has dropped official support for SendGrid"),
]

HTTP = ["resend", "sendgrid", "mailgun"]
WITHOUT_KEYS = ["sendgrid", "mailgun"]


@dataclass(frozen=True)
class Row:
    """What a row says after one attempt."""

    state: str = "queued"
    attempts: int = 0
    is_unsure: bool = False


WAITS, UNSURE = Row(), Row(is_unsure=True)
DEAD = Row(state="dead")
SENT = Row(state="sent")

HANGS = [faults.HANGS_BEFORE, faults.HANGS_AFTER]
# The response was lost: the provider may have accepted the email.
LOST = [
    *HANGS,
    faults.CUTS_BEFORE,
    faults.CUTS_AFTER,
    faults.refuses(500),
    faults.refuses(502),
    faults.refuses(504),
    faults.accepts_with(500),
    faults.accepts_with(502),
    faults.accepts_with(504),
]
LOST_TEXTS = [faults.GARBAGE, faults.WRONG_JSON, faults.HALF_BODY]
# The provider has certainly not accepted the email, and would not accept another one either.
NOT_ACCEPTED = [
    faults.refuses(401),
    faults.refuses(403),
    faults.refuses(404),
    faults.refuses(429),
    faults.retry_after(7),
    faults.refuses(503),
    faults.redirects("/elsewhere"),
    faults.redirects("/elsewhere", 307),
    faults.redirects("http://127.0.0.1:9/", 301),
]
# The provider never accepts this email.
REFUSED = [faults.refuses(400), faults.refuses(413), faults.refuses(422)]

# What each provider's row says after each fault. SendGrid has no text that could be lost.
FATES = {
    name: [
        *[(fault, UNSURE) for fault in LOST],
        *[(fault, SENT if name == "sendgrid" else UNSURE) for fault in LOST_TEXTS],
        *[(fault, WAITS) for fault in NOT_ACCEPTED],
        *[(fault, DEAD) for fault in REFUSED],
        (faults.SLOW, SENT),
    ]
    for name in HTTP
}


def use_one(choose: Choose, name: str, fault: Fault) -> HTTPProvider:
    """Start a provider that fails once."""
    (provider,) = choose(name)
    assert isinstance(provider, HTTPProvider)
    provider.next_faults.append(fault)
    return provider


def use_two(choose: Choose, names: tuple[str, str], fault: Fault) -> tuple[HTTPProvider, ...]:
    """Start a provider that always fails, and its fallback."""
    first, second = choose(*names)
    assert isinstance(first, HTTPProvider)
    assert isinstance(second, HTTPProvider)
    first.fault = fault
    return first, second


def send_new(cause: str) -> Email:
    """Queue an email and send it, as a process that has seen no failure yet."""
    forget_failures()
    email = queue_note(f"note:{cause}")
    send_due_emails()
    return email


def row_of(email: Email) -> Row:
    email.refresh_from_db()
    return Row(email.state, email.attempts, bool(email.unsure_provider))


def send_again() -> None:
    """Make all emails due, as if their pauses were over, and send them."""
    Email.objects.filter(state="queued").update(next_attempt_at=Now(), leased_until=None)
    send_due_emails()


@pytest.mark.parametrize("name", HTTP)
def test_the_row_says_what_became_of_an_email(
    choose: Choose, settings: Settings, name: str
) -> None:
    (provider,) = choose(name)
    assert isinstance(provider, HTTPProvider)
    wrong = []
    for fault, expected in FATES[name]:
        set_timeout(settings, hangs=fault in HANGS)
        provider.next_faults.append(fault)
        email = send_new(str(fault))
        is_right = row_of(email) == expected
        is_right &= email.leased_until is None
        is_right &= email.provider == (name if expected == SENT else "")
        is_right &= email.unsure_provider == (name if expected == UNSURE else "")
        is_right &= (expected == SENT) is (email.error == "")
        is_right &= "example.pt" not in email.error
        if not is_right:
            wrong.append((str(fault), row_of(email), email.error))
    assert wrong == []
    assert provider.wrong == []
    assert provider.request_count == len(FATES[name])


def test_a_key_finds_out_what_became_of_an_email(choose: Choose, settings: Settings) -> None:
    (resend,) = choose("resend")
    assert isinstance(resend, HTTPProvider)
    for number, fault in enumerate([*LOST, *LOST_TEXTS], start=1):
        set_timeout(settings, hangs=fault in HANGS)
        resend.next_faults.append(fault)
        email = send_new(str(fault))
        set_timeout(settings)
        send_again()
        assert row_of(email) == SENT, fault
        assert email.provider_id == resend.emails[-1].provider_id
        assert resend.copies.total() == number
    assert resend.wrong == []


def test_a_key_that_the_provider_may_have_forgotten_does_not_bring_copies(
    choose: Choose, settings: Settings
) -> None:
    """Resend knows a key for 24 hours. Attempts after that are few, and far between."""
    resend = use_one(choose, "resend", faults.refuses(500))
    resend.fault = faults.refuses(500)
    email = queue_note("note:1")
    Email.objects.update(queued_at=Now() - timedelta(hours=21))
    send_again()
    email.refresh_from_db()
    waits = (email.next_attempt_at - timezone.now()).total_seconds()
    assert waits > settings.EMAIL_UNSURE_SECONDS - 60
    for _ in range(settings.EMAIL_ATTEMPTS + 2):
        send_again()
    assert row_of(email).state == "dead"
    assert resend.request_count == settings.EMAIL_ATTEMPTS + 1


@pytest.mark.parametrize("name", WITHOUT_KEYS)
@pytest.mark.parametrize("fault", [faults.CUTS_BEFORE, faults.CUTS_AFTER, faults.refuses(502)])
def test_without_a_key_an_email_waits_for_the_report(
    choose: Choose, settings: Settings, name: str, fault: Fault
) -> None:
    provider = use_one(choose, name, fault)
    email = queue_note("note:1")
    send_due_emails()
    assert row_of(email) == UNSURE
    waits = (email.next_attempt_at - email.queued_at).total_seconds()
    assert abs(waits - settings.EMAIL_UNSURE_SECONDS) < 60
    assert send_due_emails() == 0
    assert provider.request_count == 1
    send_again()
    assert row_of(email) == SENT
    assert provider.request_count == 2


@pytest.mark.parametrize("names", [("resend", "mailgun"), ("mailgun", "resend")])
def test_an_email_with_a_lost_response_never_goes_to_the_other_provider(
    choose: Choose, names: tuple[str, str]
) -> None:
    first, second = use_two(choose, names, faults.CUTS_BEFORE)
    for fault in [faults.CUTS_BEFORE, *LOST_TEXTS, faults.accepts_with(500)]:
        first.fault = fault
        email = send_new(str(fault))
        send_again()
        assert second.request_count == 0
        first.fault = None
        reset_process_state()  # A breaker that has opened would close within seconds.
        send_again()
        assert row_of(email).state == "sent", fault
        assert email.provider == names[0]


@pytest.mark.slow
@pytest.mark.parametrize("names", [("resend", "mailgun"), ("sendgrid", "resend")])
def test_an_email_that_was_certainly_not_accepted_goes_to_the_other_provider(
    choose: Choose, names: tuple[str, str]
) -> None:
    first, second = use_two(choose, names, faults.refuses(401))
    # After a 429 without a time SNAP waits for some seconds, which other tests show.
    refusals = [fault for fault in NOT_ACCEPTED if fault.name != "429"]
    for number, fault in enumerate(refusals, start=1):
        reset_process_state()
        first.fault = fault
        email = send_new(str(fault))
        for _ in range(6):
            if row_of(email).state == "queued":
                send_again()
        assert row_of(email) == SENT, fault
        assert email.provider == names[1]
        assert (first.copies.total(), second.copies.total()) == (0, number)
    assert first.wrong == second.wrong == []


def test_a_redirect_takes_no_email_to_another_host(choose: Choose) -> None:
    with_redirect, other = choose("resend", "mailgun")
    assert isinstance(with_redirect, HTTPProvider)
    assert isinstance(other, HTTPProvider)
    with_redirect.fault = faults.redirects(f"{other.url}/stolen", 307)
    queue_note("note:1")
    send_due_emails()
    assert not [request for request in other.requests if request.path == "/stolen"]


def test_an_earlier_request_that_is_still_in_flight_keeps_the_email_unsure(choose: Choose) -> None:
    busy = faults.refuses(409, "concurrent_idempotent_requests")
    resend = use_one(choose, "resend", faults.CUTS_AFTER)
    resend.next_faults.append(busy)
    email = queue_note("note:1")
    send_due_emails()
    send_again()
    assert row_of(email) == UNSURE
    send_again()
    assert row_of(email) == SENT
    assert resend.copies.total() == 1


def test_an_email_whose_contents_changed_after_it_was_accepted_is_not_sent_twice(
    choose: Choose,
) -> None:
    resend = use_one(choose, "resend", faults.CUTS_AFTER)
    email = queue_note("note:1")
    send_due_emails()
    Email.objects.update(to="rui@example.pt")
    for _ in range(3):
        send_again()
    assert row_of(email) == SENT
    assert resend.copies == {("ana@example.pt", resend.only_email.message_id): 1}


def test_a_code_does_not_wait_for_a_provider_that_accepts_no_more_for_now(choose: Choose) -> None:
    use_two(choose, ("resend", "mailgun"), faults.retry_after(4))
    queue_note("note:1")
    send_due_emails()
    began = time.monotonic()
    email = queue_note("note:code", fast=True)
    send_due_emails(fast=True)
    assert row_of(email) == SENT
    assert email.provider == "mailgun"
    assert time.monotonic() - began < 3


@pytest.mark.slow
def test_a_provider_with_a_limit_gets_all_emails_and_no_attempt_is_used_up(choose: Choose) -> None:
    (resend,) = choose("resend")
    assert isinstance(resend, HTTPProvider)
    resend.rate_limit = 4
    emails = [queue_note(f"note:{number}") for number in range(8)]
    while Email.objects.filter(state="queued").exists():
        send_again()
    assert [row_of(email) for email in emails] == [SENT] * 8
    assert set(resend.copies.values()) == {1}
    assert resend.wrong == []


def test_a_code_is_no_trial_of_a_provider_while_the_other_one_works(
    choose: Choose, settings: Settings
) -> None:
    """Its response could be lost, and it would wait longer than it is good for."""
    mailgun, resend = use_two(choose, ("mailgun", "resend"), faults.CUTS_AFTER)
    breaker = providers()[0].breaker
    for _ in range(settings.BREAKER_THRESHOLD):
        breaker.failed()
    breaker._opened_at = time.monotonic() - 2 * settings.BREAKER_PAUSE
    assert breaker.state == "half_open"
    email = queue_note("note:code", fast=True)
    send_due_emails(fast=True)
    assert row_of(email) == SENT
    assert (mailgun.request_count, resend.request_count) == (0, 1)
    queue_note("note:1")
    send_due_emails(fast=False)
    assert mailgun.request_count == 1


def test_a_provider_that_hangs_costs_one_code(
    choose: Choose, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It accepts connections and responds to nothing. Its probe finds that out."""
    monkeypatch.setattr(provider_module, "PROBE_SECONDS", 0.5)
    _, resend = use_two(choose, ("mailgun", "resend"), faults.HANGS_BEFORE)
    settings.EMAIL_TIMEOUT = 0.3
    settings.ANYMAIL = settings.ANYMAIL | {"REQUESTS_TIMEOUT": (0.3, 0.3)}
    lost = queue_note("note:lost", fast=True)
    send_due_emails(fast=True)
    assert row_of(lost) == UNSURE
    wait_for(lambda: providers()[0].breaker.state == "open")
    email = queue_note("note:code", fast=True)
    send_due_emails(fast=True)
    assert row_of(email) == SENT
    assert resend.request_count == 1
