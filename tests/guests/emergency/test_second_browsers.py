"""Entries for one phone from several browsers: one account, and claims on it."""

from dataclasses import replace

import pytest
from pytest_django import Settings

from accounts.models import Claim, User
from guests.audit import failures
from guests.emergency.draining import drain
from guests.emergency.journal import Journal
from guests.models import DeadEntry, Guest, GuestRequest
from guests.requests.creating import create_due_guests
from notifications.models import Email
from tests.factories import make_account, make_event
from tests.helpers.journal import PHONE, make_all_due, registration_entry
from tests.helpers.stack import wait_for


def test_the_second_browser_with_a_phone_makes_a_claim_that_staff_see(
    journal: Journal, transactional_db: None
) -> None:
    event = make_event()
    first = journal.accept(registration_entry(event))
    second = journal.accept(
        registration_entry(event, browser="c" * 32, first_name="Outra", email="outra@example.com")
    )
    drain(journal)
    create_due_guests()
    wait_for(lambda: drain(journal) == 1)
    create_due_guests()
    requests = {str(request.ticket_id): request for request in GuestRequest.objects.all()}
    assert requests[first].account.email == "rui@example.com"
    assert (requests[first].browser, requests[first].is_second_registration) == ("b" * 32, False)
    assert (requests[second].browser, requests[second].is_second_registration) == ("", True)
    assert {request.guest for request in requests.values()} == {Guest.objects.get()}
    claim = Claim.objects.get()
    assert (claim.account, claim.first_name, claim.email) == (
        requests[first].account,
        "Outra",
        "outra@example.com",
    )
    assert set(Email.objects.values_list("to", flat=True)) == {"rui@example.com"}


def test_the_same_person_in_two_browsers_is_no_second_registration(
    journal: Journal, transactional_db: None
) -> None:
    event = make_event()
    journal.accept(registration_entry(event))
    typed = {"first_name": "rui", "last_name": "EXEMPLO", "email": "Rui+festa@Example.com"}
    second = journal.accept(registration_entry(event, browser="c" * 32, **typed))
    drain(journal)
    create_due_guests()
    wait_for(lambda: drain(journal) == 1)
    request = GuestRequest.objects.get(ticket_id=second)
    assert (request.browser, request.is_second_registration) == ("", False)
    assert not Claim.objects.exists()


@pytest.mark.parametrize("maximum", [20, 1])
def test_the_data_of_every_further_browser_are_kept_for_staff(
    journal: Journal, transactional_db: None, settings: Settings, maximum: int
) -> None:
    """Entries have no address, so their claims do not count as claims of one network."""
    settings.CLAIMS_PER_NETWORK, settings.CLAIMS_PER_ACCOUNT = 2, maximum
    event, account = make_event(), make_account(phone=PHONE)
    emails = [f"outra{number}@example.com" for number in range(4)]
    for number, email in enumerate(emails):
        journal.accept(registration_entry(event, browser=f"{number:032}", email=email))
    for _ in emails:
        make_all_due(journal)
        drain(journal)
        create_due_guests()
    assert journal.count() == {"waiting": 0, "dead": 0}
    claims = Claim.objects.order_by("pk")
    assert sorted(claims.values_list("email", flat=True)) == emails
    assert claims.undecided().filter(account=account).count() == min(maximum, 4)
    refused = claims.exclude(pk__in=claims.undecided())
    for claim in refused:
        assert claim.decided_by == "too_many_claims"
        assert set(claim.changes.values_list("to_state", flat=True)) <= {"refused"}


def test_a_claim_on_an_inactive_account_is_kept_for_staff(
    journal: Journal, transactional_db: None
) -> None:
    account = make_account(phone=PHONE)
    User.objects.filter(pk=account.pk).update(is_active=False)
    journal.accept(registration_entry(make_event()))
    drain(journal)
    claim = Claim.objects.get()
    assert (claim.email, claim.state, claim.decided_by) == ("rui@example.com", "refused", "refused")


def test_an_email_with_the_maximum_of_accounts_makes_no_further_account(
    journal: Journal, transactional_db: None, settings: Settings
) -> None:
    settings.ACCOUNTS_PER_EMAIL, settings.JOURNAL_PATH = 1, journal.path
    make_account(email="rui@example.com")
    entry = registration_entry(make_event())
    journal.accept(entry)
    assert drain(journal) == 0
    assert not User.objects.filter(phone=PHONE).exists()
    assert journal.count() == {"waiting": 0, "dead": 1}
    assert DeadEntry.objects.get().error == "email_taken"
    assert list(failures()) == []
    # With another email the same browser gets an account.
    journal.accept(replace(entry, email="outra@example.com"))
    assert drain(journal) == 1
    assert User.objects.get(phone=PHONE).email == "outra@example.com"
    assert not DeadEntry.objects.exists()
