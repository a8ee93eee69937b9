"""A corrected email or phone: the proof of the old one does not count for the new one."""

import pytest
from django.utils import timezone

from accounts.models import User
from notifications.models import Email
from tests.factories import make_account, make_event, make_staff
from tests.helpers.admin import admin_client
from tests.helpers.visitors import PHONE, Visitor, error_beside, last_code, location_of, state_in

pytestmark = pytest.mark.django_db

NEW_PHONE = "+351964000001"


def correct(account: User, **changed: str) -> User:
    """Change fields of an account in admin, as staff, and return the account."""
    fields = ["phone", "first_name", "last_name", "email", "language"]
    form = {field: getattr(account, field) for field in fields} | {"is_active": "on"} | changed
    response = admin_client(make_staff()).post(f"/admin/accounts/user/{account.pk}/change/", form)
    assert response.status_code == 302, response.content.decode()
    return User.objects.get(pk=account.pk)


def proven_by(proof: str) -> User:
    account = make_account(phone=PHONE)
    User.objects.filter(pk=account.pk).update(verified_at=timezone.now(), proven_by=proof)
    return User.objects.get(pk=account.pk)


@pytest.mark.parametrize("proof", ["", "link", "email"])
def test_an_email_that_staff_type_is_not_proven(proof: str) -> None:
    account = proven_by(proof)
    assert correct(account, first_name="Rosa").verified_at
    assert correct(account, phone=NEW_PHONE).proven_by == proof
    corrected = correct(account, email="certa@example.com")
    assert (corrected.verified_at, corrected.proven_by) == (None, "")


def test_an_sms_proves_the_phone_that_it_went_to_and_no_other() -> None:
    account = proven_by("sms")
    assert correct(account, email="certa@example.com").proven_by == "sms"
    corrected = correct(account, phone=NEW_PHONE)
    assert (corrected.verified_at, corrected.proven_by) == (None, "")


def test_a_code_to_the_old_email_no_longer_signs_in() -> None:
    account = proven_by("email")
    old = Visitor(make_event())
    old.give_phone()
    digits = last_code(account).digits()
    correct(account, email="certa@example.com")
    refused = old.send("code", code=digits)
    assert "no longer counts" in error_beside("code", refused)


def test_proving_a_corrected_email_ends_other_sessions() -> None:
    event = make_event(requires_proof=True)
    squatter = Visitor(event)
    squatter.give_phone()
    squatter.register()
    account = User.objects.get(phone=PHONE)
    squatter.open("prove")
    squatter.send("prove")
    assert state_in(squatter.get(location_of(squatter.type_code(account)))) == "created"

    account = correct(account, email="certa@example.com")
    assert state_in(squatter.look()) == "unproven"
    owner = Visitor(event)
    owner.give_phone()
    assert Email.objects.filter(kind="login_code", to="certa@example.com").count() == 1
    assert state_in(owner.get(location_of(owner.type_code(account)))) == "created"
    assert state_in(squatter.look()) == ""
