"""Claims in admin: both sides, decisions with a confirmation, undoing, and permissions."""

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from accounts.claims import make_claim, object_to
from accounts.models import Claim, User
from guests.models import Guest
from tests.factories import make_account, make_guest, make_staff
from tests.helpers.admin import admin_client, decision_url, staff_with

pytestmark = pytest.mark.django_db

LIST = "/admin/accounts/claim/"


@pytest.fixture
def claim() -> Claim:
    """A claim on the account of a guest."""
    return claim_on(make_guest().account)


def claim_on(account: User) -> Claim:
    return make_claim(
        account,
        first_name="Marta",
        last_name="Verdadeira",
        email="marta@example.org",
        language="pt-pt",
        browser="b" * 32,
        address="192.0.2.1",
        event_slug="festa",
    )


def test_the_page_shows_both_sides(claim: Claim) -> None:
    client = admin_client(staff_with("view_claim", "change_claim"))
    guest = Guest.objects.get()
    assert "Marta Verdadeira" in client.get(LIST).content.decode()
    page = client.get(f"{LIST}{claim.pk}/change/").content.decode()
    for text in (
        claim.account.name,
        claim.account.email,
        "not proven",
        guest.event.title,
        "Marta Verdadeira",
        "marta@example.org",
        "festa",
        "the claimant",
        decision_url(claim, "grant"),
        decision_url(claim, "refuse"),
    ):
        assert text in page, text
    assert decision_url(claim, "undo") not in page
    assert 'name="_save"' not in page
    assert client.get(f"{LIST}?q={claim.account.phone}").content.decode().count("Marta") == 1


def test_the_page_names_the_other_claims_on_the_account(claim: Claim) -> None:
    object_to(claim)
    rival = make_claim(
        claim.account,
        first_name="Rui",
        last_name="Rival",
        email="rui@example.org",
        language="pt-pt",
        browser="c" * 32,
        address="192.0.2.2",
    )
    page = admin_client(make_staff()).get(f"{LIST}{rival.pk}/change/").content.decode()
    assert "marta@example.org · the holder objects" in page


def test_granting_asks_for_confirmation_and_undoing_returns_the_account(claim: Claim) -> None:
    staff = staff_with("view_claim", "change_claim")
    client, guest, holder = admin_client(staff), Guest.objects.get(), claim.account
    asked = client.get(decision_url(claim, "grant")).content.decode()
    assert "stop working" in asked
    assert guest.event.title in asked
    assert Claim.objects.get().state == "open"

    done = client.post(decision_url(claim, "grant"), follow=True).content.decode()
    assert "Claim granted." in done
    assert decision_url(claim, "undo") in done
    assert decision_url(claim, "grant") not in done
    assert holder.email in done, "the page still shows the previous holder"
    assert staff.name in done
    assert User.objects.get(pk=holder.pk).email == "marta@example.org"

    again = client.post(decision_url(claim, "grant"), follow=True).content.decode()
    assert "decided already" in again

    undone = client.post(decision_url(claim, "undo"), follow=True).content.decode()
    assert "Claim undone." in undone
    assert User.objects.get(pk=holder.pk).email == holder.email
    assert Guest.objects.get().qr_token == guest.qr_token
    assert list(LogEntry.objects.order_by("pk").values_list("change_message", flat=True)) == [
        "Claim granted.",
        "Claim undone.",
    ]


def test_refusing_changes_nothing(claim: Claim) -> None:
    holder = User.objects.get(pk=claim.account_id)
    admin_client(make_staff()).post(decision_url(claim, "refuse"))
    assert Claim.objects.get().state == "refused"
    after = User.objects.get(pk=holder.pk)
    assert (after.email, after.session_nonce) == (holder.email, holder.session_nonce)


@pytest.mark.parametrize("permissions", [[], ["view_claim"], ["change_user", "change_guest"]])
@pytest.mark.parametrize("decision", ["grant", "refuse", "undo"])
def test_deciding_needs_the_permission_to_change_claims(
    claim: Claim, permissions: list[str], decision: str
) -> None:
    client = admin_client(staff_with(*permissions))
    for response in (
        client.get(decision_url(claim, decision)),
        client.post(decision_url(claim, decision)),
    ):
        assert response.status_code == 403
    assert Claim.objects.get().state == "open"


def test_a_visitor_who_decides_is_sent_to_the_sign_in_page(claim: Claim) -> None:
    response = Client().post(decision_url(claim, "grant"))
    assert response["Location"].startswith("/admin/login/")
    assert Claim.objects.get().state == "open"


@pytest.mark.parametrize("privilege", ["is_staff", "is_superuser", "permission"])
def test_only_a_superuser_decides_a_claim_on_an_account_with_permissions(privilege: str) -> None:
    account = make_account()
    if privilege == "permission":
        account.user_permissions.set(Permission.objects.filter(codename="view_event"))
    else:
        User.objects.filter(pk=account.pk).update(**{privilege: True})
    claim = claim_on(User.objects.get(pk=account.pk))
    colleague = admin_client(staff_with("view_claim", "change_claim"))
    superuser = admin_client(make_staff())
    assert colleague.post(decision_url(claim, "grant")).status_code == 403
    page = colleague.get(f"{LIST}{claim.pk}/change/").content.decode()
    assert decision_url(claim, "grant") not in page
    superuser.post(decision_url(claim, "grant"))
    assert User.objects.get(pk=account.pk).email == "marta@example.org"


def test_granting_removes_the_password_of_the_holder() -> None:
    holder = make_staff()
    claim = claim_on(holder)
    admin_client(make_staff()).post(decision_url(claim, "grant"))
    assert not User.objects.get(pk=holder.pk).has_usable_password()


def test_a_claim_cannot_be_edited_added_or_deleted(claim: Claim) -> None:
    client = admin_client(make_staff())
    assert client.get(f"{LIST}add/").status_code == 403
    assert client.post(f"{LIST}{claim.pk}/delete/", {"post": "yes"}).status_code == 403
    client.post(f"{LIST}{claim.pk}/change/", {"state": "granted", "email": "x@example.org"})
    claim.refresh_from_db()
    assert (claim.state, claim.email) == ("open", "marta@example.org")


def test_the_latest_granted_claim_is_undone_first() -> None:
    account = make_guest().account
    client = admin_client(make_staff())
    first = claim_on(account)
    client.post(decision_url(first, "grant"))
    second = claim_on(account)
    client.post(decision_url(second, "grant"))
    client.post(decision_url(first, "undo"))
    assert Claim.objects.get(pk=first.pk).state == "granted"
    client.post(decision_url(second, "undo"))
    client.post(decision_url(first, "undo"))
    assert User.objects.get(pk=account.pk).email == account.email


@pytest.mark.parametrize("state", ["open", "objected", "refused"])
def test_only_a_granted_claim_can_be_undone(claim: Claim, state: str) -> None:
    client = admin_client(make_staff())
    Claim.objects.update(state=state)
    response = client.post(decision_url(claim, "undo"), follow=True)
    assert "decided already" in response.content.decode()
    assert Claim.objects.get().state == state


@pytest.mark.parametrize("decision", ["give", "change", "..", "grant/x"])
def test_unknown_decisions_change_nothing(claim: Claim, decision: str) -> None:
    assert admin_client(make_staff()).post(decision_url(claim, decision)).status_code in {302, 404}
    assert Claim.objects.get().state == "open"


def test_the_list_needs_the_same_queries_for_many_claims(claim: Claim) -> None:
    client = admin_client(make_staff())

    def queries() -> int:
        with CaptureQueriesContext(connection) as captured:
            client.get(LIST)
        return len(captured)

    few = queries()
    for _ in range(5):
        claim_on(make_account())
    assert queries() == few
