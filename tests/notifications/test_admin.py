"""Emails in admin: staff see them and send them again, and cannot change them."""

from datetime import timedelta

import pytest
from django.contrib.admin.models import LogEntry
from django.db import connection
from django.db.models.functions import Now
from django.test import Client
from django.test.utils import CaptureQueriesContext

from guests.models import Guest
from notifications.models import Email

pytestmark = pytest.mark.django_db

LIST = "/admin/notifications/email/"


def make_email(number: int, **fields: object) -> Email:
    return Email.objects.create(
        **{"kind": "note", "cause": f"note:{number}", "to": "ana@example.pt", "language": "en"}
        | fields
    )


def test_the_list_takes_as_many_queries_for_one_email_as_for_many(admin_client: Client) -> None:
    make_email(0)
    with CaptureQueriesContext(connection) as for_one:
        admin_client.get(LIST)
    for number in range(1, 30):
        make_email(number)
    with CaptureQueriesContext(connection) as for_many:
        page = admin_client.get(LIST).content.decode()
    assert "note:29" in page
    assert len(for_many) == len(for_one)


def test_it_finds_by_address_and_cause(admin_client: Client) -> None:
    make_email(1, to="rui@example.pt")
    make_email(2)
    for query in ("rui@", "note:1"):
        page = admin_client.get(LIST, {"q": query}).content.decode()
        assert "note:1" in page
        assert "note:2" not in page


def test_an_email_cannot_be_edited_added_or_deleted(admin_client: Client) -> None:
    email = make_email(1)
    page = admin_client.get(f"{LIST}{email.pk}/change/").content.decode()
    assert 'name="to"' not in page
    assert 'name="_save"' not in page
    assert admin_client.get(f"{LIST}add/").status_code == 403
    assert admin_client.post(f"{LIST}{email.pk}/delete/", {"post": "yes"}).status_code == 403


def test_send_again_queues_dead_emails_and_leaves_the_others(admin_client: Client) -> None:
    dead = make_email(1, state="dead", attempts=3, error="SMTPDataError 554")
    Email.objects.filter(pk=dead.pk).update(next_attempt_at=Now() + timedelta(hours=1))
    sent = make_email(2, state="sent")
    admin_client.post(LIST, {"action": "send_again", "_selected_action": [dead.pk, sent.pk]})
    dead.refresh_from_db()
    sent.refresh_from_db()
    assert (dead.state, dead.attempts, dead.error) == ("queued", 0, "")
    assert sent.state == "sent"
    assert LogEntry.objects.get().object_id == str(dead.pk)
    assert Email.objects.filter(next_attempt_at__lte=Now(), state="queued").get() == dead


def test_strangers_see_no_emails(client: Client) -> None:
    assert client.get(LIST).status_code == 302


def test_staff_find_the_email_of_a_guest(admin_client: Client, guest: Guest) -> None:
    response = admin_client.get(LIST, {"q": f"guest:{guest.pk}/"})
    assert response.context["cl"].result_list[0] == Email.objects.get()
