"""A guest list as a spreadsheet: who may download it, and names that begin a formula."""

import csv
from io import StringIO

import pytest
from django.contrib.admin.models import LogEntry
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from accounts.models import User
from guests.exports import BYTE_ORDER_MARK, escape_formula
from guests.models import Event, Guest
from tests.factories import make_event, make_guest, make_staff

pytestmark = pytest.mark.django_db


def export(client: Client, event: Event, language: str = "en") -> str:
    response = client.get(
        f"/admin/guests/event/{event.pk}/guest-list.csv", headers={"accept-language": language}
    )
    assert response.status_code == 200
    return b"".join(response).decode()


def rows_of(text: str, delimiter: str = ",") -> list[list[str]]:
    return list(csv.reader(StringIO(text.removeprefix(BYTE_ORDER_MARK)), delimiter=delimiter))


def test_the_file_has_the_whole_list_in_order(admin: Client) -> None:
    event = make_event(capacity=2)
    guests = [make_guest(event) for _ in range(3)]
    text = export(admin, event)
    assert text.startswith(BYTE_ORDER_MARK + "name,phone,email,")
    rows = rows_of(text)[1:]
    assert [row[0] for row in rows] == [guest.name for guest in guests]
    assert [row[3] for row in rows] == ["on the list", "on the list", "waiting list"]
    assert rows[0][1] == f"'{guests[0].phone}"
    assert rows[0][2] == guests[0].account.email


def test_columns_are_separated_by_semicolons_in_portuguese(admin: Client) -> None:
    guest = make_guest()
    assert rows_of(export(admin, guest.event, "pt-PT"), ";")[1][0] == guest.name


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠"])
def test_no_cell_is_a_formula(start: str) -> None:
    assert escape_formula(f"{start}1+1") == f"'{start}1+1"
    assert escape_formula(f"1{start}1") == f"1{start}1"
    assert escape_formula("") == ""


def test_a_name_that_begins_a_formula_is_escaped(admin: Client) -> None:
    guest = make_guest()
    name = '=cmd|" /C calc"!A0;\r\n"=1+1'
    Guest.objects.filter(pk=guest.pk).update(name=name)
    row = rows_of(export(admin, guest.event))[1]
    assert row[0] == f"'{name}"
    assert row[3] == "on the list"


def test_only_staff_who_may_change_the_event_download_its_list(
    client: Client, door_staff: User, stranger: User, guest: Guest
) -> None:
    address = f"/admin/guests/event/{guest.event_id}/guest-list.csv"
    assert client.get(address).status_code == 302
    client.force_login(stranger)
    assert client.get(address).status_code == 302
    client.force_login(door_staff)
    assert client.get(address).status_code == 403
    assert (
        "guest-list.csv"
        not in client.get(f"/admin/guests/event/{guest.event_id}/change/").content.decode()
    )


def test_a_download_is_logged_with_its_account(
    client: Client, guest: Guest, caplog: pytest.LogCaptureFixture
) -> None:
    manager = make_staff()
    client.force_login(manager)
    export(client, guest.event)
    (record,) = [each for each in caplog.records if each.message == "guest_list_exported"]
    assert vars(record)["event_id"] == guest.event_id
    assert vars(record)["account_id"] == manager.pk
    entry = LogEntry.objects.get()
    assert (entry.user_id, entry.object_id) == (manager.pk, str(guest.event_id))
    assert (guest.phone or "") not in caplog.text


def test_a_long_list_needs_the_queries_of_a_short_one(admin: Client) -> None:
    event = make_event(capacity=3000)
    counts = []
    for size in (10, 1500):
        _fill(event, size)
        with CaptureQueriesContext(connection) as queries:
            rows = rows_of(export(admin, event))
        assert len(rows) == 1 + Guest.objects.filter(event=event).count()
        counts.append(len(queries))
    assert counts[0] == counts[1]


def _fill(event: Event, size: int) -> None:
    accounts = User.objects.bulk_create(
        [
            User(phone=f"+3519{size:04}{n:04}", first_name="Rui", last_name=f"Exemplo {n}")
            for n in range(size)
        ]
    )
    Guest.objects.bulk_create(
        [
            Guest(
                event=event,
                account=account,
                phone=account.phone or "",
                name=account.name,
                state="on_list",
                queue_number=account.pk,
                qr_token=f"token-{account.pk}",
            )
            for account in accounts
        ]
    )
