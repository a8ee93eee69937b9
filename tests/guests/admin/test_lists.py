"""Lists in admin: their cost, their counts, and the search."""

import pytest
from django.test import Client
from pytest_django import Settings
from pytest_django.fixtures import DjangoAssertNumQueries

from tests.factories import make_account, make_event, make_guest
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
        with django_assert_max_num_queries(20) as queries:
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
