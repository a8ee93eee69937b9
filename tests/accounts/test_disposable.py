"""Staff see disposable addresses. Nobody is refused because of one."""

import pytest
from django.test import Client

from accounts.disposable import has_disposable_email, is_disposable
from accounts.models import User
from tests.factories import make_account, make_event, make_guest, make_staff
from tests.helpers.admin import admin_client, admin_url
from tests.helpers.visitors import PERSON, Visitor, html_of

DISPOSABLE = "rui@mailinator.com"


@pytest.fixture
def admin() -> Client:
    return admin_client(make_staff(email="marta@example.com"))


@pytest.mark.parametrize(
    ("email", "expected"),
    [
        (DISPOSABLE, True),
        ("rui@Mailinator.COM", True),
        ("rui@team.mailinator.com", True),
        ("rui@10minutemail.com", True),
        ("rui@gmail.com", False),
        ("rui@sapo.pt", False),
        ("mailinator.com@example.com", False),
        ("rui@mailinator.company", False),
        ("rui@com", False),
        ("", False),
    ],
)
def test_addresses_of_such_services_are_known(email: str, expected: bool) -> None:
    assert is_disposable(email) is expected


@pytest.mark.django_db
def test_a_disposable_address_is_not_refused() -> None:
    visitor = Visitor(make_event())
    visitor.give_phone()
    visitor.send("register", **PERSON | {"email": DISPOSABLE})
    assert User.objects.get(email=DISPOSABLE).guest_set.exists()
    page = html_of(visitor.look())
    assert "disposable" not in page


@pytest.mark.django_db
@pytest.mark.parametrize("path", ["accounts_user_changelist", "guests_guest_changelist"])
def test_staff_find_them_in_lists(admin: Client, path: str) -> None:
    usual, other = make_guest(), make_guest(account=make_account(email="Rui@Mailinator.com"))
    both = html_of(admin.get(admin_url(path)))
    found = html_of(admin.get(admin_url(path), {"email_is": "disposable"}))
    for name, is_found in [(usual.name, False), (other.name, True)]:
        assert name in both
        assert (name in found) is is_found


@pytest.mark.django_db
def test_the_list_of_accounts_and_the_pages_mark_them(admin: Client) -> None:
    guest = make_guest(account=make_account(email=DISPOSABLE))
    usual = make_guest()
    page = html_of(admin.get(admin_url("accounts_user_changelist")))
    assert page.count("· disposable") == 1
    for each, is_marked in [(guest, True), (usual, False)]:
        for url in (
            admin_url("accounts_user_change", each.account_id),
            admin_url("guests_guest_change", each.pk),
        ):
            assert ("service for disposable addresses" in html_of(admin.get(url))) is is_marked


@pytest.mark.django_db
def test_the_condition_is_one_parameter() -> None:
    """PostgreSQL reads one list, not ten thousand parameters."""
    make_account(email=DISPOSABLE)
    found = User.objects.filter(has_disposable_email("email"))
    _, parameters = found.query.sql_with_params()
    assert len(parameters) < 10
    assert found.count() == 1
