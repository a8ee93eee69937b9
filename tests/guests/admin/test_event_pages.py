"""Beside the form of an event: its links, cancelling it, and what is not deleted."""

from typing import Any

import pytest
import zxingcpp
from django.contrib.admin.models import LogEntry
from django.db.models import Model
from django.db.models.functions import Now
from django.test import Client
from pytest_django.fixtures import DjangoAssertNumQueries

from accounts.models import User
from guests.admin.sharing import links_of
from guests.models import Event, EventChange, EventPromoter, Guest
from guests.requests.waiting_list import cancel_guests
from snap.pages import page_url
from tests.factories import (
    make_account,
    make_event,
    make_event_promoter,
    make_guest,
    make_promoter,
    make_request,
    make_team,
)
from tests.helpers.admin import admin_client, admin_url, change_event, staff_with
from tests.helpers.event_news import announce_all, edit
from tests.helpers.images import pixels_of_data_uri

pytestmark = pytest.mark.django_db


@pytest.fixture
def staff(manager: User) -> Client:
    """A browser of the manager, in English."""
    return admin_client(manager)


# Links --------------------------------------------------------------------------------------------


def test_the_links_are_of_the_event_and_once_of_each_promoter(staff: Client) -> None:
    event = make_event()
    promoter = make_promoter()
    teams = [make_team(), make_team()]
    for team in teams:
        make_event_promoter(event, promoter=promoter, team=team)
    make_event_promoter(event)
    make_event_promoter()
    urls = [link.url for link in links_of(event)]
    assert len(urls) == 3
    assert page_url("event", event.slug) in urls
    assert page_url("event", event.slug, promoter.code) in urls
    page = staff.get(admin_url("guests_event_links", event.pk)).content.decode()
    for url in urls:
        assert page.count(f'data-copy="{url}"') == 1
    assert f"{promoter.name} · {teams[0].name} · {teams[1].name}" in page


def test_the_qr_code_of_a_link_is_that_link() -> None:
    (link,) = links_of(make_event())
    (code,) = zxingcpp.read_barcodes(pixels_of_data_uri(link.qr_code))
    assert code.text == link.url


def test_many_promoters_need_as_many_queries_as_one(
    staff: Client, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    event = make_event()
    counts = []
    for more in (1, 10):
        for _ in range(more):
            make_event_promoter(event, team=make_team())
        with django_assert_max_num_queries(20) as queries:
            staff.get(admin_url("guests_event_links", event.pk))
        counts.append(len(queries))
    assert counts[0] == counts[1]


def test_saving_leads_to_the_links(staff: Client) -> None:
    event = make_event(is_published=False)
    response = change_event(staff, event, title="Outro")
    assert response.status_code == 302
    page = staff.get(response["Location"]).content.decode()
    assert admin_url("guests_event_links", event.pk) in page
    links = staff.get(admin_url("guests_event_links", event.pk)).content.decode()
    assert "The event is not published yet" in links


def test_a_new_event_leads_to_its_links(staff: Client) -> None:
    form = {"title": "Nova", "slug": "nova", "venue": "Sala", "time_zone": "Europe/Lisbon"}
    form |= {"capacity": "10", "has_waiting_list": "on"}
    for number, name in enumerate(("list_opens_at", "list_closes_at", "starts_at", "ends_at")):
        form |= {f"{name}_0": f"2030-07-0{number + 1}", f"{name}_1": "20:00"}
    form |= {"eventpromoter_set-TOTAL_FORMS": "0", "eventpromoter_set-INITIAL_FORMS": "0"}
    response = staff.post(admin_url("guests_event_add"), form)
    assert response.status_code == 302, response.content.decode()
    assert response["Location"] == admin_url("guests_event_links", Event.objects.get().pk)


def test_the_slug_is_called_by_what_it_is_for(staff: Client) -> None:
    event = make_event()
    page = staff.get(admin_url("guests_event_change", event.pk)).content.decode()
    assert "Name in the link" in page
    assert page_url("event", event.slug) in page


def test_links_need_the_permission_to_see_events() -> None:
    event = make_event()
    assert (
        admin_client(staff_with("view_guest"))
        .get(admin_url("guests_event_links", event.pk))
        .status_code
        == 403
    )


# Cancelling ---------------------------------------------------------------------------------------


def is_cancelled(event: Event) -> bool:
    return Event.objects.filter(pk=event.pk, cancelled_at__isnull=False).exists()


def test_cancelling_says_who_hears_of_it_and_asks(staff: Client) -> None:
    event = make_event(capacity=2)
    guests = [make_guest(event, make_account(email="")), make_guest(event), make_guest(event)]
    make_request(event)
    url = admin_url("guests_event_cancel", event.pk)
    page = staff.get(url).content.decode()
    for text in (
        "2 guests on the list",
        "1 guest on the waiting list",
        "1 request in progress",
        "2 people get an email",
        "1 person gets none: only the page tells them",
        "The email leaves after 20 seconds.",
    ):
        assert text in page
    assert not is_cancelled(event)
    response = staff.post(url, follow=True)
    assert "The event is cancelled." in response.content.decode()
    assert is_cancelled(event)
    assert Guest.objects.filter(pk=guests[0].pk, state="on_list").exists()
    change = EventChange.objects.get(field="cancelled_at")
    assert change.actor == f"account:{LogEntry.objects.get().user_id}"
    # A second press changes nothing, and says so.
    again = staff.post(url, follow=True).content.decode()
    assert "The event was cancelled already." in again
    reinstating = staff.get(admin_url("guests_event_reinstate", event.pk)).content.decode()
    assert "The email leaves after 120 seconds." in reinstating
    page = staff.get(admin_url("guests_event_change", event.pk)).content.decode()
    assert admin_url("guests_event_reinstate", event.pk) in page
    assert url not in page
    staff.post(admin_url("guests_event_reinstate", event.pk))
    assert not is_cancelled(event)


def test_cancelling_an_event_that_is_over_promises_no_email(staff: Client) -> None:
    event = make_guest().event
    Event.objects.update(starts_at=event.list_opens_at, ends_at=Now())
    page = staff.get(admin_url("guests_event_cancel", event.pk)).content.decode()
    assert "The event is over, so no email goes out." in page


def test_a_change_says_how_many_guests_get_an_email_about_it(staff: Client) -> None:
    event = make_event(capacity=1, time_zone="Europe/Lisbon")
    for email in ("ana@example.com", "rui@example.com", ""):
        make_guest(event, make_account(email=email))
    url = admin_url("guests_event_change", event.pk)
    change_event(staff, event, venue="Praia")
    page = staff.get(url).content.decode()
    assert "2 people get an email about the change in 120 seconds." in page
    for change in ({"venue": "Sala Exemplo"}, {"description": "Texto"}):
        event.refresh_from_db()
        change_event(staff, event, **change)
        assert "email about the change" not in staff.get(url).content.decode()


def test_the_page_of_an_event_says_who_was_told_of_changes(staff: Client, manager: User) -> None:
    guest = make_guest()
    edit(guest.event, manager, venue="Praia")
    announce_all()
    page = staff.get(admin_url("guests_event_change", guest.event_id)).content.decode()
    assert "Event changed: 1" in page
    assert 'name="sends_reminder"' in page
    guest_page = staff.get(admin_url("guests_guest_change", guest.pk)).content.decode()
    assert "Event changed" in guest_page


def test_the_form_of_an_event_neither_cancels_nor_reinstates(staff: Client) -> None:
    event = make_event()
    page = staff.get(admin_url("guests_event_change", event.pk)).content.decode()
    assert 'name="cancelled_at' not in page
    staff.post(admin_url("guests_event_cancel", event.pk))
    event.refresh_from_db()
    assert change_event(staff, event, title="Outro").status_code == 302
    event.refresh_from_db()
    assert (event.title, event.cancelled_at is None) == ("Outro", False)


@pytest.mark.parametrize("name", ["cancel", "reinstate"])
def test_cancelling_needs_the_permission_to_change_events(name: str) -> None:
    event = make_event()
    client = admin_client(staff_with("view_event"))
    assert client.get(admin_url(f"guests_event_{name}", event.pk)).status_code == 403
    assert client.post(admin_url(f"guests_event_{name}", event.pk)).status_code == 403


# Deleting -----------------------------------------------------------------------------------------


def rows_with_guests() -> dict[str, Model]:
    at = make_event_promoter(team=make_team())
    assert at.team is not None
    make_guest(at.event, promoter=at.promoter, team=at.team)
    return {"event": at.event, "promoter": at.promoter, "team": at.team}


@pytest.mark.parametrize(
    ("name", "instead"),
    [("event", "cancel"), ("promoter", "leave-events"), ("team", "leave-events")],
)
def test_what_has_guests_is_not_deleted_and_says_what_to_do(
    staff: Client, name: str, instead: str
) -> None:
    row = rows_with_guests()[name]
    for url, form in (
        (admin_url(f"guests_{name}_delete", row.pk), {"post": "yes"}),
        (
            admin_url(f"guests_{name}_changelist"),
            {"action": "delete_selected", "_selected_action": row.pk, "post": "yes"},
        ),
    ):
        response: Any = staff.post(url, form)
        assert f"/{row.pk}/{instead}/" in response.content.decode(), url
        assert type(row)._default_manager.filter(pk=row.pk).exists()
    page = staff.get(admin_url(f"guests_{name}_delete", row.pk)).content.decode()
    assert "instead" in page
    assert "Rita Exemplo" not in page


def test_a_cancelled_event_is_not_to_be_cancelled_again(staff: Client) -> None:
    event = make_guest().event
    staff.post(admin_url("guests_event_cancel", event.pk))
    page = staff.get(admin_url("guests_event_delete", event.pk)).content.decode()
    assert "it is cancelled already" in page
    assert admin_url("guests_event_cancel", event.pk) not in page


def test_a_cancelled_guest_and_a_request_count_too(staff: Client, manager: User) -> None:
    guest = make_guest()
    cancel_guests(guest.event_id, [guest.pk], acting_user=manager)
    asked = make_request().event
    for event in (guest.event, asked):
        staff.post(admin_url("guests_event_delete", event.pk), {"post": "yes"})
        assert Event.objects.filter(pk=event.pk).exists()


def test_what_has_no_guests_is_deleted(staff: Client) -> None:
    at = make_event_promoter(team=make_team())
    assert at.team is not None
    for name, row in (("team", at.team), ("promoter", at.promoter), ("event", at.event)):
        url = admin_url(f"guests_{name}_delete", row.pk)
        assert staff.post(url, {"post": "yes"}).status_code == 302
        assert not type(row)._default_manager.exists()


@pytest.mark.parametrize("name", ["promoter", "team"])
def test_a_promoter_or_team_is_taken_off_the_events_ahead(staff: Client, name: str) -> None:
    row = rows_with_guests()[name]
    kept = make_event_promoter()
    url = admin_url(f"guests_{name}_leave", row.pk)
    assert Event.objects.get(pk=Guest.objects.get().event_id).title in (
        staff.get(url).content.decode()
    )
    assert EventPromoter.objects.count() == 2
    assert staff.post(url).status_code == 302
    assert EventPromoter.objects.get() == kept
    assert Guest.objects.get().promoter is not None
    may_not = admin_client(staff_with(f"view_{name}", f"change_{name}"))
    assert may_not.post(url).status_code == 403


def test_accounts_are_deactivated_instead(staff: Client, guest: Guest) -> None:
    page = staff.get(admin_url("accounts_user_delete", guest.account_id)).content.decode()
    assert admin_url("accounts_user_change", guest.account_id) in page
    staff.post(admin_url("accounts_user_delete", guest.account_id), {"post": "yes"})
    assert User.objects.filter(pk=guest.account_id).exists()
