"""Staff see who gets no bulk emails and why, and stop or allow them for people who ask."""

import pytest
from django.test import Client

from notifications.models import Email, Suppression, SuppressionChange
from notifications.resending import resend_email
from notifications.suppressions import allow_bulk_emails, is_suppressed, suppress
from tests.factories import make_account, make_guest, make_staff
from tests.helpers.admin import admin_client, admin_url, staff_with
from tests.helpers.visitors import html_of

pytestmark = pytest.mark.django_db

ADDRESS = "ines@example.com"
COMPLAINT = Suppression.Reason.COMPLAINED


@pytest.fixture
def admin() -> Client:
    return admin_client(make_staff(first_name="Marta"))


@pytest.fixture
def suppression() -> Suppression:
    email = Email.objects.create(kind="bulk_note", cause="note:1", to=ADDRESS, language="en")
    suppress(ADDRESS, COMPLAINT, email)
    return Suppression.objects.get()


def page_of(suppression: Suppression) -> str:
    return admin_url("notifications_suppression_change", suppression.pk)


def allow_url(suppression: Suppression) -> str:
    return admin_url("notifications_suppression_allow", suppression.pk)


def test_the_page_shows_the_history(admin: Client, suppression: Suppression) -> None:
    page = html_of(admin.get(page_of(suppression)))
    assert "marked an email as spam" in page
    assert "the mail provider" in page
    assert 'name="_save"' not in page


def test_allowing_again_needs_a_reason_and_leaves_a_line(
    admin: Client, suppression: Suppression
) -> None:
    assert "Allow bulk emails again?" in html_of(admin.get(allow_url(suppression)))
    assert is_suppressed(ADDRESS)
    assert admin.post(allow_url(suppression), {"note": " "}).status_code == 200
    assert is_suppressed(ADDRESS)
    admin.post(allow_url(suppression), {"note": "asked by phone"})
    assert not is_suppressed(ADDRESS)
    page = html_of(admin.get(page_of(suppression)))
    assert "asked by phone" in page
    assert "Marta Exemplo" in page
    assert allow_url(suppression) not in page


@pytest.mark.parametrize("address", [ADDRESS, "Ines+festas@EXAMPLE.com"])
def test_staff_stop_them_for_an_address_in_any_spelling(admin: Client, address: str) -> None:
    form = {"address": address, "note": "asked at the door"}
    admin.post(admin_url("notifications_suppression_add"), form)
    assert is_suppressed(ADDRESS)
    change = SuppressionChange.objects.get()
    assert change.actor.startswith("account:")
    assert change.note == "asked at the door"


def test_stopping_twice_changes_nothing(admin: Client, suppression: Suppression) -> None:
    response = admin.post(admin_url("notifications_suppression_add"), {"address": ADDRESS})
    assert response.status_code == 302
    assert Suppression.objects.get().reason == "complained"
    assert suppression.changes.count() == 1


def test_no_address_is_refused(admin: Client) -> None:
    response = admin.post(admin_url("notifications_suppression_add"), {"address": "ines"})
    assert "This is not an email address" in html_of(response)
    assert not Suppression.objects.exists()


@pytest.mark.parametrize("term", ["ines@", ADDRESS, "INES+x@example.com", "example.com"])
def test_the_list_is_searched_by_any_spelling(
    admin: Client, suppression: Suppression, term: str
) -> None:
    suppress("rui@example.pt", COMPLAINT)
    page = html_of(admin.get(admin_url("notifications_suppression_changelist"), {"q": term}))
    assert ADDRESS in page
    assert "rui@example.pt" not in page


@pytest.mark.parametrize(("now", "shown"), [("", 2), ("stopped", 1), ("allowed", 1)])
def test_the_list_tells_who_gets_none_now(admin: Client, now: str, shown: int) -> None:
    for address in (ADDRESS, "rui@example.pt"):
        suppress(address, COMPLAINT)
    allow_bulk_emails("rui@example.pt")
    url = admin_url("notifications_suppression_changelist")
    page = html_of(admin.get(url, {"now": now} if now else {}))
    assert page.count('class="field-address"') == shown
    assert (ADDRESS in page) is (now != "allowed")


def test_a_row_is_never_deleted(admin: Client, suppression: Suppression) -> None:
    url = admin_url("notifications_suppression_delete", suppression.pk)
    assert admin.post(url, {"post": "yes"}).status_code == 403
    assert is_suppressed(ADDRESS)


def test_staff_who_may_only_look_change_nothing(suppression: Suppression) -> None:
    client = admin_client(staff_with("view_suppression"))
    assert client.get(page_of(suppression)).status_code == 200
    assert client.post(allow_url(suppression), {"note": "x"}).status_code == 403
    add = client.post(admin_url("notifications_suppression_add"), {"address": "rui@example.com"})
    assert add.status_code == 403
    assert list(Suppression.objects.active()) == [suppression]


def test_pages_of_people_say_that_they_get_none(admin: Client) -> None:
    guest = make_guest(account=make_account(email=ADDRESS))
    pages = [
        admin_url("accounts_user_change", guest.account_id),
        admin_url("guests_guest_change", guest.pk),
    ]
    for url in pages:
        assert "gets no reminders" not in html_of(admin.get(url))
    suppress("ines+festas@example.com", Suppression.Reason.UNSUBSCRIBED)
    for url in pages:
        page = html_of(admin.get(url))
        assert "This address has unsubscribed" in page
        assert page_of(Suppression.objects.get()) in page


def test_an_email_that_was_not_sent_says_why(admin: Client) -> None:
    email = Email.objects.create(
        kind="bulk_note",
        cause="note:1",
        to=ADDRESS,
        language="en",
        state="cancelled",
        error="unsubscribed",
    )
    page = html_of(admin.get(admin_url("notifications_email_change", email.pk)))
    assert "This address gets no reminders and no messages to lists." in page


def test_staff_cannot_send_a_bulk_email_again_to_it(suppression: Suppression) -> None:
    for kind, refusal in [("bulk_note", "unsubscribed"), ("note", "")]:
        sent = resend_email(kind, "note:7", actor="account:1", to=ADDRESS)
        assert sent.refusal == refusal
    assert not Email.objects.filter(kind="bulk_note", cause="note:7").exists()
