"""An attack that fills the mailbox of a victim with emails about registrations."""

import json
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from pathlib import Path

import pytest
from django.db.models import F
from django.test import Client
from pytest_django import Settings

from accounts.exceptions import AccountError
from accounts.models import User
from accounts.services import register
from guests.emergency.draining import drain
from guests.emergency.entries import Entry
from guests.emergency.journal import get_journal
from guests.models import DeadEntry, GuestRequest
from notifications.models import Email
from notifications.recipients import recipient_key
from notifications.services import requeue_emails
from tests.factories import make_account, make_event, make_guest
from tests.helpers.guards import THREADS, at_once, slow, without_advisory_locks
from tests.helpers.mailboxes import SPELLINGS, VICTIM, emails_to_victim
from tests.helpers.visitors import Response, Visitor, error_beside, location_of

REGISTER = "/api/client-auth/register"
LOGIN = "/api/client-auth/login"


@pytest.fixture(autouse=True)
def _as_in_production(settings: Settings) -> None:
    settings.ACCOUNTS_PER_EMAIL, settings.EMAILS_PER_RECIPIENT = 3, 10


def phone(number: int) -> str:
    return f"+351961{number:06}"


def post(path: str, browser: Client | None = None, **body: str) -> Response:
    browser = browser or Client(headers={"accept-language": "en"})
    return browser.post(path, json.dumps(body), content_type="application/json")


def register_by_api(number: int, email: str) -> Response:
    return post(REGISTER, phone=phone(number), firstName="Rui", lastName="Exemplo", email=email)


# Accounts of one email ---------------------------------------------------------------------------


@pytest.mark.django_db
def test_one_mailbox_has_three_accounts_in_whatever_spelling() -> None:
    responses = [register_by_api(number, SPELLINGS[number % 7]) for number in range(21)]
    assert [response.status_code for response in responses] == [201] * 3 + [409] * 18
    body = responses[3].json()
    assert (body["success"], body["code"]) == (False, "email_taken")
    assert list(body["fields"]) == ["email"]
    assert User.objects.count() == 3
    assert emails_to_victim() == 3


@pytest.mark.django_db
def test_the_form_shows_the_refusal_beside_the_email() -> None:
    event = make_event()
    for number in range(3):
        register_by_api(number, VICTIM)
    visitor = Visitor(event)
    visitor.give_phone(phone(4))
    response = visitor.register(email=SPELLINGS[3])
    assert response.status_code == 422
    assert "as many accounts" in error_beside("email", response)
    assert GuestRequest.objects.count() == 0
    assert "/ticket/" in location_of(visitor.register(email="outra@example.com"))


@pytest.mark.django_db(transaction=True)
def test_registrations_at_the_same_moment_are_counted() -> None:
    def attempt(number: int) -> bool:
        body = {"first_name": "Rui", "last_name": "Exemplo", "language": "en"}
        try:
            register(phone=phone(number), email=SPELLINGS[number % 7], **body)
        except AccountError:
            return False
        return True

    def storm(*, locked: bool) -> int:
        User.objects.all().delete()
        for start in range(0, 96, THREADS):
            works: list[Callable[[], bool]] = [partial(attempt, start + n) for n in range(THREADS)]
            at_once([work if locked else without_advisory_locks(work) for work in works])
        return User.objects.count()

    with slow("accounts_user", "INSERT", seconds=0.05):
        assert storm(locked=False) > 3, "without the lock registrations do not see each other"
    assert storm(locked=True) == 3


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
def test_96_parallel_visitors_make_three_accounts_and_three_emails() -> None:
    event = make_event(capacity=500)

    def visit(number: int) -> str:
        visitor = Visitor(event)
        visitor.give_phone(phone(number))
        response = visitor.register(email=SPELLINGS[number % 7])
        return response.get("Location", "")

    for start in range(0, 96, THREADS):
        at_once([partial(visit, start + n) for n in range(THREADS)])
    assert User.objects.count() == GuestRequest.objects.count() == 3
    assert Email.objects.filter(kind="welcome").count() == 3


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("rita@example.com", "RITA@EXAMPLE.COM.", True),
        ("rita@example.com", "rita+x@example.com", True),
        ("rita@bücher.example", "rita@xn--bcher-kva.example", True),
        ("rita@ｅxample.com", "rita@example.com", True),
        ("rita@faß.example", "rita@xn--fa-hia.example", True),
        ("rita@FAẞ.example", "rita@xn--fa-hia.example", True),
        ("rita@faß.example", "rita@fass.example", False),
        ("ri\u200bta@example.com\u200e", "rita@example.com", True),
        ("r.ita@googlemail.com", "rita@gmail.com", True),
        ("r.ita@example.com", "rita@example.com", False),
        ("rita@example.com", "rita@example.org", False),
        ("+x@example.com", "+y@example.com", False),
        ("", "rita@example.com", False),
    ],
)
def test_all_spellings_of_a_mailbox_have_one_key(one: str, other: str, *, same: bool) -> None:
    assert (recipient_key(one) == recipient_key(other)) == same
    assert make_account(email=one).email_key == recipient_key(one)


@pytest.mark.django_db
def test_the_key_changes_with_the_email() -> None:
    account = make_account()
    account.email = "Nova+1@Example.com"
    account.save(update_fields=["email"])
    account.refresh_from_db()
    assert account.email_key == "nova@example.com"


@pytest.mark.django_db
def test_entries_of_the_journal_are_refused_with_the_same_reason(
    settings: Settings, tmp_path: Path
) -> None:
    """A refused phone gets no account, so it can be registered with another email."""
    settings.JOURNAL_PATH = tmp_path / "journal.sqlite3"
    event = make_event()
    journal = get_journal()
    for number in range(6):
        journal.accept(
            Entry(
                event_id=event.pk,
                event_slug=event.slug,
                phone=phone(number),
                promoter_id=None,
                team_id=None,
                account_id=None,
                session_hash="",
                browser=f"{number:032}",
                language="en",
                first_name="Rui",
                last_name="Exemplo",
                email=SPELLINGS[number],
            )
        )
    assert drain(journal) == 3
    assert list(GuestRequest.objects.values_list("refusal", flat=True)) == [""] * 3
    assert list(DeadEntry.objects.values_list("error", flat=True)) == ["email_taken"] * 3
    assert User.objects.count() == 3
    assert emails_to_victim() == 3


# Emails to one recipient -------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.django_db
def test_codes_for_unproven_accounts_fill_no_mailbox(settings: Settings) -> None:
    settings.LOGIN_CODES_PER_PHONE = 1000
    for number in range(3):
        register_by_api(number, SPELLINGS[number])
    responses = [post(LOGIN, phone=phone(number % 3)) for number in range(30)]
    statuses = [response.status_code for response in responses]
    assert emails_to_victim() == 10
    assert statuses == [202] * 7 + [429] * 23
    assert responses[-1].json()["retryAfter"] == int(responses[-1]["Retry-After"]) > 0


@pytest.mark.django_db
def test_the_owner_of_a_flooded_mailbox_still_receives_codes_and_the_qr_code(
    settings: Settings,
) -> None:
    """Emails that strangers cause do not count for emails that the owner waits for."""
    owner = make_account(email=VICTIM)
    User.objects.filter(pk=owner.pk).update(verified_at=owner.created_at)
    settings.EMAILS_PER_RECIPIENT = 2
    for number in range(2):
        register_by_api(number, SPELLINGS[number])
    assert post(LOGIN, phone=phone(0)).status_code == 429
    assert post(LOGIN, phone=owner.phone or "").status_code == 202
    make_guest(account=owner)
    kinds = Email.objects.filter(to=VICTIM, state="queued").values_list("kind", flat=True)
    assert {"login_code", "qr_code"} <= set(kinds)


@pytest.mark.django_db
def test_unproven_accounts_count_for_an_email_for_a_day() -> None:
    for number in range(3):
        assert register_by_api(number, VICTIM).status_code == 201
    assert register_by_api(3, VICTIM).status_code == 409
    User.objects.update(created_at=F("created_at") - timedelta(days=1, seconds=1))
    assert register_by_api(3, VICTIM).status_code == 201


@pytest.mark.parametrize("email", ["a@[127.0.0.1]", "a@[IPv6:::1]", "a@localhost"])
@pytest.mark.django_db
def test_an_email_at_a_local_or_literal_address_is_refused(email: str) -> None:
    refused = register_by_api(0, email)
    assert (refused.status_code, list(refused.json()["fields"])) == (400, ["email"])
    visitor = Visitor(make_event())
    visitor.give_phone()
    assert error_beside("email", visitor.register(email=email))
    assert not User.objects.exists()


@pytest.mark.django_db
def test_an_email_past_the_limit_is_cancelled_and_staff_can_send_it(settings: Settings) -> None:
    settings.EMAILS_PER_RECIPIENT = 1
    for number in range(2):
        register_by_api(number, VICTIM)
    first, second = Email.objects.order_by("pk")
    assert (first.state, first.error) == ("queued", "")
    assert (second.state, second.error) == ("cancelled", "too_many_for_recipient")
    assert requeue_emails(Email.objects.filter(pk=second.pk)) == 1


@pytest.mark.django_db
def test_emails_of_an_hour_ago_do_not_count(settings: Settings) -> None:
    settings.EMAILS_PER_RECIPIENT = 1
    register_by_api(0, VICTIM)
    Email.objects.update(created_at=F("created_at") - timedelta(minutes=61))
    register_by_api(1, VICTIM)
    assert set(Email.objects.values_list("state", flat=True)) == {"queued"}
