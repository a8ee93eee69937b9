"""Times of events in admin: in the event's own zone, also in the nights when clocks change."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from accounts.models import User
from guests.models import Event
from tests.factories import make_event
from tests.helpers.admin import admin_client, admin_url, staff_with
from tests.helpers.form_fields import shown_fields

pytestmark = pytest.mark.django_db

# The clocks of Lisbon go from 02:00 back to 01:00 in this night: 01:30 comes twice.
FIRST = datetime(2030, 10, 27, 0, 30, tzinfo=UTC)
SECOND = datetime(2030, 10, 27, 1, 30, tzinfo=UTC)
TIMES = ("starts_at", "ends_at", "list_opens_at", "list_closes_at", "waiting_list_ends_at")


def night_event(**fields: Any) -> Event:
    """Make an event that begins in the hour that comes twice."""
    given = {"starts_at": FIRST, "ends_at": SECOND + timedelta(hours=3)}
    return make_event(**given | fields)


@pytest.fixture
def staff() -> Client:
    return admin_client(staff_with("view_event", "change_event", "add_event"))


def send(staff: Client, event: Event, **changes: str) -> Any:
    """Open the form of an event, change some fields, and send it as a browser does."""
    url = admin_url("guests_event_change", event.pk)
    fields = shown_fields(staff.get(url).content.decode())
    return staff.post(url, fields | changes)


def reload(event: Event) -> Event:
    return Event.objects.with_database_time().get(pk=event.pk)


@pytest.mark.parametrize("name", ["starts_at", "ends_at", "list_closes_at", "waiting_list_ends_at"])
@pytest.mark.parametrize("moment", [FIRST, SECOND], ids=["first", "second"])
def test_a_time_that_comes_twice_is_shown_and_kept_while_others_change(
    staff: Client, name: str, moment: datetime
) -> None:
    before = {"starts_at": FIRST - timedelta(hours=5), "ends_at": SECOND + timedelta(hours=5)}
    event = make_event(**before | {name: moment})
    response = send(staff, event, capacity="77")
    assert response.status_code == 302, response.content.decode()[:3000]
    event = reload(event)
    assert (event.capacity, getattr(event, name)) == (77, moment)
    assert event.sequence == 0
    page = staff.get(admin_url("guests_event_change", event.pk)).content.decode()
    which = "first" if moment == FIRST else "second"
    assert shown_fields(page)[f"{name}_2"] == which


def test_an_event_in_that_night_can_be_cancelled(staff: Client) -> None:
    event = night_event()
    assert staff.post(admin_url("guests_event_cancel", event.pk)).status_code == 302
    assert reload(event).cancelled_at
    assert reload(event).starts_at == FIRST


@pytest.mark.parametrize(("which", "moment"), [("first", FIRST), ("second", SECOND)])
def test_both_of_the_two_can_be_entered(staff: Client, which: str, moment: datetime) -> None:
    event = night_event(starts_at=FIRST - timedelta(hours=4))
    typed = {"starts_at_0": "2030-10-27", "starts_at_1": "01:30"}
    refused = send(staff, event, **typed).content.decode()
    assert "01:30 comes twice on" in refused
    assert 'name="starts_at_2"' in refused
    assert send(staff, event, **typed, starts_at_2=which).status_code == 302
    assert reload(event).starts_at == moment


def test_the_other_of_the_two_can_be_chosen(staff: Client) -> None:
    event = night_event()
    assert send(staff, event, starts_at_2="second").status_code == 302
    assert reload(event).starts_at == SECOND


def test_a_time_that_does_not_come_is_refused_with_one_sentence(staff: Client) -> None:
    event = night_event()
    response = send(staff, event, starts_at_0="2030-03-31", starts_at_1="01:30")
    page = response.content.decode()
    assert "There is no 01:30 on" in page
    assert page.count("errorlist") == 1
    assert reload(event).starts_at == FIRST


@pytest.mark.parametrize("zone", ["Atlantic/Azores", "Asia/Kolkata", "Australia/Lord_Howe"])
def test_times_are_shown_and_read_in_the_zone_of_the_event(staff: Client, zone: str) -> None:
    starts_at = datetime(2030, 7, 5, 6, tzinfo=UTC)
    event = make_event(time_zone=zone, starts_at=starts_at, ends_at=starts_at + timedelta(hours=24))
    fields = shown_fields(staff.get(admin_url("guests_event_change", event.pk)).content.decode())
    assert fields["starts_at_1"] == f"{event.local_start:%H:%M}"
    assert send(staff, event, starts_at_1="18:05").status_code == 302
    assert f"{reload(event).local_start:%H:%M}" == "18:05"
    assert reload(event).ends_at == event.ends_at


def test_a_form_that_changes_nothing_moves_no_time(staff: Client) -> None:
    event = make_event(time_zone="Asia/Kolkata", waiting_list_ends_at=timezone.now())
    assert send(staff, event).status_code == 302
    after = reload(event)
    for name in TIMES:
        assert getattr(after, name) == getattr(event, name)
    assert (after.sequence, after.moves) == (0, [])


def test_another_zone_moves_no_time_without_a_word(staff: Client) -> None:
    event = make_event()
    refused = send(staff, event, time_zone="Atlantic/Azores")
    assert "Say what stays when the zone changes." in refused.content.decode()
    assert reload(event).time_zone == event.time_zone


def test_another_zone_keeps_what_clocks_show_or_the_moments(staff: Client) -> None:
    event = make_event()
    send(staff, event, time_zone="Atlantic/Azores", zone_change="moment")
    kept = reload(event)
    assert (kept.time_zone, kept.starts_at) == ("Atlantic/Azores", event.starts_at)
    send(staff, event, time_zone="Europe/Lisbon", zone_change="clock")
    moved = reload(event)
    assert f"{moved.local_start:%H:%M}" == f"{kept.local_start:%H:%M}"
    assert moved.starts_at < event.starts_at


def test_an_incomplete_time_is_refused(staff: Client) -> None:
    event = make_event()
    assert "Write the day and the time." in send(staff, event, ends_at_1="").content.decode()
    assert "obrigatório" not in send(staff, event, ends_at_0="no day").content.decode()


def test_an_event_is_added_in_the_zone_that_its_form_names(staff: Client) -> None:
    url = admin_url("guests_event_add")
    fields = shown_fields(staff.get(url).content.decode())
    typed = {"title": "Noite", "slug": "noite", "venue": "Sala", "capacity": "10"}
    for name, at in (("starts_at", "22:00"), ("ends_at", "23:30"), ("list_opens_at", "10:00")):
        typed |= {f"{name}_0": "2030-07-05", f"{name}_1": at}
    typed |= {"list_closes_at_0": "2030-07-05", "list_closes_at_1": "21:00"}
    typed |= {"time_zone": "Atlantic/Azores"}
    assert staff.post(url, fields | typed).status_code == 302
    assert Event.objects.get().starts_at == datetime(2030, 7, 5, 22, tzinfo=UTC)


def test_staff_who_only_look_see_times_in_the_zone_of_the_event() -> None:
    event = night_event(time_zone="Europe/Lisbon", starts_at=SECOND)
    page = admin_client(staff_with("view_event")).get(admin_url("guests_event_change", event.pk))
    assert page.status_code == 200
    assert "01:30 WET (Europe/Lisbon)" in page.content.decode()


def test_the_history_shows_each_change_with_who_made_it(staff: Client) -> None:
    event = night_event(venue="Sala")
    assert send(staff, event, venue="Praia", starts_at_2="second").status_code == 302
    page = staff.get(admin_url("guests_event_change", event.pk)).content.decode()
    name = str(User.objects.get(is_staff=True))
    assert f"Venue: Sala → Praia · {name}" in page
    shown = [f"01:30 {offset} (Europe/Lisbon)" for offset in ("WEST", "WET")]
    assert f"{shown[0]} → " in page
    assert f"{shown[1]} · {name}" in page
