"""Claims in admin: both sides, a decision that asks first, its undoing, and who may do that."""

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

pytestmark = pytest.mark.django_db

LIST = "/admin/accounts/claim/"


@pytest.fixture
def claim() -> Claim:
    """A claim on the account of somebody who is on a list."""
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


def staff_with(*permissions: str) -> User:
    account = make_account(is_staff=True)
    account.set_password("a long password")
    account.save()
    account.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    return account


def admin_of(account: User) -> Client:
    client = Client(headers={"accept-language": "en"})
    client.force_login(account, backend="django.contrib.auth.backends.ModelBackend")
    return client


def decide_url(claim: Claim, decision: str) -> str:
    return f"{LIST}{claim.pk}/decide/{decision}/"


def test_the_page_shows_both_sides(claim: Claim) -> None:
    client = admin_of(staff_with("view_claim", "change_claim"))
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
        decide_url(claim, "grant"),
        decide_url(claim, "refuse"),
    ):
        assert text in page, text
    assert decide_url(claim, "undo") not in page
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
    page = admin_of(make_staff()).get(f"{LIST}{rival.pk}/change/").content.decode()
    assert "marta@example.org · the holder objects" in page


def test_granting_asks_first_and_undoing_gives_it_back(claim: Claim) -> None:
    staff = staff_with("view_claim", "change_claim")
    client, guest, holder = admin_of(staff), Guest.objects.get(), claim.account
    asked = client.get(decide_url(claim, "grant")).content.decode()
    assert "stop working" in asked
    assert guest.event.title in asked
    assert Claim.objects.get().state == "open"

    done = client.post(decide_url(claim, "grant"), follow=True).content.decode()
    assert "Claim granted." in done
    assert decide_url(claim, "undo") in done
    assert decide_url(claim, "grant") not in done
    assert holder.email in done, "the page keeps who held it before"
    assert staff.name in done
    assert User.objects.get(pk=holder.pk).email == "marta@example.org"

    again = client.post(decide_url(claim, "grant"), follow=True).content.decode()
    assert "decided already" in again

    undone = client.post(decide_url(claim, "undo"), follow=True).content.decode()
    assert "Claim undone." in undone
    assert User.objects.get(pk=holder.pk).email == holder.email
    assert Guest.objects.get().qr_token == guest.qr_token
    assert list(LogEntry.objects.order_by("pk").values_list("change_message", flat=True)) == [
        "Claim granted.",
        "Claim undone.",
    ]


def test_refusing_changes_nothing(claim: Claim) -> None:
    holder = User.objects.get(pk=claim.account_id)
    admin_of(make_staff()).post(decide_url(claim, "refuse"))
    assert Claim.objects.get().state == "refused"
    after = User.objects.get(pk=holder.pk)
    assert (after.email, after.session_nonce) == (holder.email, holder.session_nonce)


@pytest.mark.parametrize("permissions", [[], ["view_claim"], ["change_user", "change_guest"]])
@pytest.mark.parametrize("decision", ["grant", "refuse", "undo"])
def test_only_who_may_change_claims_decides(
    claim: Claim, permissions: list[str], decision: str
) -> None:
    client = admin_of(staff_with(*permissions))
    for response in (
        client.get(decide_url(claim, decision)),
        client.post(decide_url(claim, decision)),
    ):
        assert response.status_code == 403
    assert Claim.objects.get().state == "open"


def test_nobody_is_asked_into_admin_by_a_decision(claim: Claim) -> None:
    response = Client().post(decide_url(claim, "grant"))
    assert response["Location"].startswith("/admin/login/")
    assert Claim.objects.get().state == "open"


@pytest.mark.parametrize("powers", ["is_staff", "is_superuser", "permission"])
def test_only_a_superuser_decides_about_somebody_with_powers(powers: str) -> None:
    account = make_account()
    if powers == "permission":
        account.user_permissions.set(Permission.objects.filter(codename="view_event"))
    else:
        User.objects.filter(pk=account.pk).update(**{powers: True})
    claim = claim_on(User.objects.get(pk=account.pk))
    colleague, superuser = (
        admin_of(staff_with("view_claim", "change_claim")),
        admin_of(make_staff()),
    )
    assert colleague.post(decide_url(claim, "grant")).status_code == 403
    page = colleague.get(f"{LIST}{claim.pk}/change/").content.decode()
    assert decide_url(claim, "grant") not in page
    superuser.post(decide_url(claim, "grant"))
    assert User.objects.get(pk=account.pk).email == "marta@example.org"


def test_a_granted_account_keeps_no_password_of_its_holder() -> None:
    holder = make_staff()
    claim = claim_on(holder)
    admin_of(make_staff()).post(decide_url(claim, "grant"))
    assert not User.objects.get(pk=holder.pk).has_usable_password()


def test_a_claim_is_never_edited_added_or_deleted_by_hand(claim: Claim) -> None:
    client = admin_of(make_staff())
    assert client.get(f"{LIST}add/").status_code == 403
    assert client.post(f"{LIST}{claim.pk}/delete/", {"post": "yes"}).status_code == 403
    client.post(f"{LIST}{claim.pk}/change/", {"state": "granted", "email": "x@example.org"})
    claim.refresh_from_db()
    assert (claim.state, claim.email) == ("open", "marta@example.org")


def test_a_later_claim_is_undone_first() -> None:
    account = make_guest().account
    client = admin_of(make_staff())
    first = claim_on(account)
    client.post(decide_url(first, "grant"))
    second = claim_on(account)
    client.post(decide_url(second, "grant"))
    client.post(decide_url(first, "undo"))
    assert Claim.objects.get(pk=first.pk).state == "granted"
    client.post(decide_url(second, "undo"))
    client.post(decide_url(first, "undo"))
    assert User.objects.get(pk=account.pk).email == account.email


@pytest.mark.parametrize("state", ["open", "objected", "refused"])
def test_only_a_granted_claim_is_undone(claim: Claim, state: str) -> None:
    client = admin_of(make_staff())
    Claim.objects.update(state=state)
    response = client.post(decide_url(claim, "undo"), follow=True)
    assert "decided already" in response.content.decode()
    assert Claim.objects.get().state == state


@pytest.mark.parametrize("decision", ["give", "change", "..", "grant/x"])
def test_decisions_that_there_are_not(claim: Claim, decision: str) -> None:
    assert admin_of(make_staff()).post(decide_url(claim, decision)).status_code in {302, 404}
    assert Claim.objects.get().state == "open"


def test_the_list_costs_the_same_for_many(claim: Claim) -> None:
    client = admin_of(make_staff())

    def queries() -> int:
        with CaptureQueriesContext(connection) as captured:
            client.get(LIST)
        return len(captured)

    few = queries()
    for _ in range(5):
        claim_on(make_account())
    assert queries() == few
