"""Emails in admin: staff see them and send them again, and cannot change them."""

from datetime import timedelta

import pytest
from django.db import connection
from django.db.models.functions import Now
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import translation

from accounts.models import User
from guests.models import Guest
from notifications.kinds import kind_label, known_kinds
from notifications.models import Email, EmailResend
from tests.helpers.admin import admin_client

pytestmark = pytest.mark.django_db

LIST = "/admin/notifications/email/"
HOUR = timedelta(hours=1)


def make_email(number: int, **fields: object) -> Email:
    return Email.objects.create(
        **{"kind": "note", "cause": f"note:{number}", "to": "ana@example.pt", "language": "en"}
        | fields
    )


def test_the_list_takes_as_many_queries_for_one_email_as_for_many(admin: Client) -> None:
    make_email(0)
    with CaptureQueriesContext(connection) as for_one:
        admin.get(LIST)
    for number in range(1, 30):
        make_email(number)
    with CaptureQueriesContext(connection) as for_many:
        page = admin.get(LIST).content.decode()
    assert page.count('class="field-readable_to"') == 30
    assert len(for_many) == len(for_one)


def test_it_finds_by_address_and_cause(admin: Client) -> None:
    email = make_email(1, to="rui@example.pt")
    make_email(2)
    for query in ("rui@", "note:1"):
        response = admin.get(LIST, {"q": query})
        assert list(response.context["cl"].result_list) == [email]


def test_an_international_domain_is_shown_in_its_script_and_found(admin: Client) -> None:
    email = make_email(1, to="rui@xn--fa-hia.example")
    for path in (LIST, f"{LIST}?q=rui@faß.example", f"{LIST}{email.pk}/change/"):
        page = admin.get(path).content.decode()
        assert "rui@faß.example" in page
        assert "xn--" not in page


def test_an_email_cannot_be_edited_added_or_deleted(admin: Client) -> None:
    email = make_email(1)
    page = admin.get(f"{LIST}{email.pk}/change/").content.decode()
    assert 'name="to"' not in page
    assert 'name="_save"' not in page
    assert admin.get(f"{LIST}add/").status_code == 403
    assert admin.post(f"{LIST}{email.pk}/delete/", {"post": "yes"}).status_code == 403


def test_strangers_see_no_emails(client: Client) -> None:
    assert client.get(LIST).status_code == 302


def test_staff_find_the_email_of_a_guest(admin: Client, guest: Guest) -> None:
    response = admin.get(LIST, {"q": f"guest:{guest.pk}/"})
    assert response.context["cl"].result_list[0] == Email.objects.get()


def test_sending_again_tells_what_became_of_each_email(admin: Client, guest: Guest) -> None:
    gone = make_email(1, cause="gone:1")
    own = Email.objects.get(kind="qr_code")
    User.objects.filter(pk=guest.account_id).update(email="certa@example.com")
    form = {"action": "send_again", "_selected_action": [own.pk, gone.pk]}
    response = admin.post(LIST, form, follow=True)
    done, refused = response.context["messages"]
    assert (done.level_tag, refused.level_tag) == ("success", "warning")
    assert "certa@example.com" in str(done)
    assert guest.name in str(done)
    assert "note" in str(refused)
    # A second press changes nothing, and says so without a green tick.
    response = admin.post(LIST, form, follow=True)
    (refused,) = response.context["messages"]
    assert refused.level_tag == "warning"
    assert EmailResend.objects.count() == 1


def test_the_page_of_an_email_sends_it_again_and_keeps_who_did(
    admin: Client, manager: User, guest: Guest
) -> None:
    email = Email.objects.get(kind="qr_code")
    Email.objects.update(state="bounced", error="bounced invalid", queued_at=Now() - HOUR)
    page = f"{LIST}{email.pk}/change/"
    assert f"{LIST}{email.pk}/send-again/" in admin.get(page).content.decode()
    assert admin.get(f"{LIST}{email.pk}/send-again/").status_code == 405
    response = admin.post(f"{LIST}{email.pk}/send-again/", follow=True)
    assert [message.level_tag for message in response.context["messages"]] == ["success"]
    text = response.content.decode()
    assert manager.name in text
    assert guest.account.email in text


def test_staff_without_permission_send_nothing_again(door_staff: User, guest: Guest) -> None:
    email = Email.objects.get(kind="qr_code")
    client = admin_client(door_staff)
    assert client.post(f"{LIST}{email.pk}/send-again/").status_code == 403
    assert not EmailResend.objects.exists()


@pytest.mark.parametrize("kind", known_kinds())
def test_each_kind_of_email_has_a_name_for_staff(kind: str) -> None:
    if kind not in {"note", "bulk_note"}:
        with translation.override("pt-pt"):
            assert kind_label(kind) not in {kind, kind.replace("_", " ")}
