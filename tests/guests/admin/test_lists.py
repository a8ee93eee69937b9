"""Lists in admin: their cost, their counts, and the search."""

import pytest
from django.contrib.admin.models import LogEntry
from django.test import Client
from pytest_django import Settings
from pytest_django.fixtures import DjangoAssertNumQueries

from guests.lists.services import remove_guests
from guests.models import GuestRequest
from tests.factories import make_account, make_event, make_guest, make_staff
from tests.helpers.admin import LISTS, admin_url

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("name", LISTS)
def test_lists_need_the_same_queries_at_any_size(
    admin: Client, name: str, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    counts = []
    for more in (3, 12):
        for _ in range(more):
            LISTS[name]()
        with django_assert_max_num_queries(22) as queries:
            assert admin.get(admin_url(f"{name}_changelist")).context["cl"].result_count >= more
        counts.append(len(queries))
    assert counts[0] == counts[1]


def test_a_long_list_is_counted_up_to_a_maximum(admin: Client, settings: Settings) -> None:
    settings.ADMIN_MAX_COUNT = 5
    event = make_event(capacity=0)
    for _ in range(4):
        make_guest(event=event)
    page = admin.get(admin_url("guests_guest_changelist")).content.decode()
    assert "4 convidados" in page
    assert "(4)" in page  # The count of the one state.
    make_guest()
    page = admin.get(admin_url("guests_guest_changelist")).content.decode()
    assert "5+ convidados" in page
    assert "(4)" not in page
    page = admin.get(admin_url("guests_guest_changelist"), {"_facets": "True"}).content.decode()
    assert "(4)" in page


def test_searching_finds_by_name_phone_and_email(admin: Client) -> None:
    make_guest()
    account = make_account(
        phone="+351913456789", first_name="Leonor", last_name="Seixas", email="leonor@example.com"
    )
    make_guest(account=account)
    for text in ("leonor", "Leonor Seixas", "913 456 789", "+3519134", "leonor@"):
        for name in ("guests_guest", "accounts_user"):
            found = (
                admin.get(admin_url(f"{name}_changelist"), {"q": text}).context["cl"].result_list
            )
            assert len(found) == 1, (text, name)


@pytest.mark.parametrize(
    ("name", "form"),
    [
        ("guests_guest", {"action": "cancel", "confirmed": "1"}),
        ("guests_guest", {"action": "reinstate"}),
        ("guests_guestrequest", {"action": "replay"}),
    ],
)
def test_an_action_that_changes_nothing_is_no_success(
    admin: Client, name: str, form: dict[str, str]
) -> None:
    guest = make_guest()
    if form["action"] == "cancel":
        remove_guests(guest.event_id, [guest.pk], acting_user=make_staff())
    pk = guest.pk if name == "guests_guest" else GuestRequest.objects.get().pk
    url = admin_url(f"{name}_changelist")
    response = admin.post(url, {**form, "_selected_action": [pk]}, follow=True)
    assert [each.level_tag for each in response.context["messages"]] == ["warning"]


def test_the_log_of_changes_names_staff(admin: Client) -> None:
    guest = make_guest()
    admin.post(admin_url("guests_guest_do", guest.pk, "remove"))
    page = admin.get(admin_url("guests_guest_history", guest.pk)).content.decode()
    assert f"({LogEntry.objects.get().user.name})" in page
