"""The pages of the live dashboard: who sees what."""

import re
from datetime import timedelta

import pytest
from django.db import connection
from django.db.models.functions import Now
from django.test import Client
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries, Settings

from accounts.models import User
from guests.models import Event, Guest
from guests.overview import events
from guests.staff import boards, views
from snap.control import snapshot
from snap.local_cache import reset_process_state
from snap.models import Mode
from tests.factories import make_account, make_event, make_guest, make_promoter, make_request
from tests.helpers.admin import admin_client, staff_with
from tests.helpers.outages import open_breaker
from tests.helpers.visitors import html_of

pytestmark = pytest.mark.django_db

PARTS = re.compile(r'data-part="([a-z]+)[-"]')


def parts_of(client: Client, path: str) -> set[str]:
    """Return the first words of the names of the parts that a page has."""
    response = client.get(path)
    assert response.status_code == 200
    return set(PARTS.findall(html_of(response)))


def page_of(event: Event) -> str:
    return f"/staff/{event.slug}/"


def test_only_staff_with_a_password_see_the_dashboard(client: Client, guest: Guest) -> None:
    for account in (None, make_account(), guest.account):
        if account:
            client.force_login(account)
        for path in ("/staff/", page_of(guest.event)):
            response = client.get(path)
            assert response.status_code == 302
            assert response.headers["Location"] == f"/admin/login/?next={path}"
            assert client.post(path).status_code == 405


def test_the_second_factor_is_required(settings: Settings, manager: User) -> None:
    settings.STAFF_SECOND_FACTOR = True
    response = admin_client(manager).get("/staff/")
    assert response.headers["Location"].startswith("/admin/login/")


def test_the_pages_are_only_read(admin: Client, guest: Guest) -> None:
    for path in ("/staff/", page_of(guest.event)):
        assert admin.post(path).status_code == 405
        assert admin.head(path).status_code == 200
    assert admin.get("/staff/nothing/").status_code == 404
    assert admin.get("/staff/nothing").status_code == 301


@pytest.mark.parametrize(
    ("permissions", "tonight", "event"),
    [
        ([], None, None),
        (["view_guest"], None, None),
        (["view_event"], {"state", "now"}, {"state", "numbers"}),
        (
            ["view_event", "view_guest"],
            {"state", "now", "pace"},
            {"state", "numbers", "pace", "curve", "promoters"},
        ),
        (["view_mode"], {"state", "system"}, None),
        (["view_event", "view_mode"], {"state", "now", "system"}, {"state", "numbers", "system"}),
    ],
)
def test_each_permission_opens_its_part(
    permissions: list[str], tonight: set[str] | None, event: set[str] | None, guest: Guest
) -> None:
    client = admin_client(staff_with(*permissions))
    has_link = 'href="/staff/"' in client.get("/admin/").content.decode()
    assert has_link == (tonight is not None)
    for path, parts in (("/staff/", tonight), (page_of(guest.event), event)):
        if parts is None:
            assert client.get(path).status_code == 403
        else:
            assert parts_of(client, path) == parts


def test_the_numbers_of_guests_need_their_permission(guest: Guest) -> None:
    path = page_of(guest.event)
    assert "Requests" in html_of(admin_client(staff_with("view_event", "view_guest")).get(path))
    assert "Requests" not in html_of(admin_client(staff_with("view_event")).get(path))


def test_nothing_of_a_guest_is_shown(admin: Client) -> None:
    event = make_event(capacity=1)
    guests = [make_guest(event) for _ in range(2)]
    make_request(event)
    for path in ("/staff/", page_of(event)):
        text = html_of(admin.get(path))
        for guest in guests:
            for secret in (guest.name, guest.phone, guest.account.email, guest.qr_token):
                assert not secret or secret not in text


def test_a_page_shows_how_full_the_list_is(admin: Client) -> None:
    event, promoter = make_event(capacity=2), make_promoter(name="Marta Exemplo")
    for _ in range(3):
        make_guest(event, promoter=promoter)
    client = Client(headers={"accept-language": "en"})
    client.cookies = admin.cookies
    text = html_of(client.get(page_of(event)))
    assert "<strong>2</strong> <span>of 2 on the list" in text
    assert "The list is full. Newcomers go to the waiting list." in text
    assert "The most: Marta Exemplo, 2 on the list." in text
    assert "3 requests. The most in one minute were" in text
    assert "Checked in" not in text
    Guest.objects.filter(state="on_list").update(checked_in_at=Now())
    reset_process_state()
    connection.cursor().execute("DELETE FROM guests_nightcounts")
    assert "Checked in" in html_of(client.get(page_of(event)))


def test_the_page_is_in_the_readers_language(admin: Client, guest: Guest) -> None:
    admin.cookies["language"] = "pt-pt"
    assert "Pedidos" in html_of(admin.get("/staff/"))
    admin.cookies["language"] = "en"
    assert "Requests" in html_of(admin.get("/staff/"))


def test_the_script_polls_parts_without_the_rest_of_the_page(admin: Client, guest: Guest) -> None:
    response = admin.get("/staff/", headers={"HX-Request": "true"})
    text = html_of(response)
    assert text.strip().startswith('<div class="board"')
    assert f'data-part="now-{guest.event.pk}"' in text
    assert "HX-Request" in response.headers["Vary"]
    assert "no-store" in response.headers["Cache-Control"]


def test_an_event_of_another_day_is_shown_when_asked_for(admin: Client) -> None:
    now = timezone.now()
    event = make_event(starts_at=now - timedelta(days=9), ends_at=now - timedelta(days=8))
    Guest.objects.create(
        event=event, account=make_account(), name="Rita", state="waiting", queue_number=1
    )
    assert event.title not in html_of(admin.get("/staff/"))
    assert parts_of(admin, page_of(event)) >= {"numbers", "curve"}


def test_events_are_grouped_by_how_far_they_are(admin: Client) -> None:
    now = timezone.now()
    ended = make_event(starts_at=now - timedelta(hours=5), ends_at=now - timedelta(hours=1))
    opens = make_event(
        list_opens_at=now + timedelta(hours=2), list_closes_at=now + timedelta(hours=4)
    )
    running = make_event()
    cancelled = [
        make_event(cancelled_at=now),
        make_event(starts_at=now - timedelta(hours=5), ends_at=now, cancelled_at=now),
        make_event(list_opens_at=now + timedelta(hours=2), cancelled_at=now),
    ]
    text = html_of(admin.get("/staff/"))
    for group, event in (("now", running), ("soon", opens), ("ended", ended)):
        assert f'data-part="{group}-{event.pk}"' in text
    for event in cancelled:
        assert f'data-part="cancelled-{event.pk}"' in text


def test_a_cancelled_event_says_how_many_had_a_place(admin: Client) -> None:
    """People come to the door all the same."""
    admin.cookies["language"] = "en"
    guest = make_guest(make_event(capacity=4))
    Event.objects.update(cancelled_at=timezone.now())
    text = html_of(admin.get("/staff/"))
    assert guest.event.title in text
    assert "<strong>1</strong> <span>of 4 on the list" in text
    assert "Cancelled</p>" in text


def test_a_night_with_more_events_than_are_shown_says_so(
    admin: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    admin.cookies["language"] = "en"
    make_event()
    assert "events are shown" not in html_of(admin.get("/staff/"))
    reset_process_state()
    for module in (events, views):
        monkeypatch.setattr(module, "MAX_EVENTS", 1)
    assert "The first 1 events are shown" in html_of(admin.get("/staff/"))


def test_a_cancelled_event_has_no_places_left_to_tell(admin: Client) -> None:
    admin.cookies["language"] = "en"
    assert "50 places left" in html_of(admin.get(page_of(make_event())))
    cancelled = html_of(admin.get(page_of(make_event(cancelled_at=timezone.now()))))
    assert "The event is cancelled." in cancelled
    assert "places left" not in cancelled


def test_an_empty_night_says_so(admin: Client) -> None:
    admin.cookies["language"] = "en"
    assert "No event is on, and no list opens within a day." in html_of(admin.get("/staff/"))


def test_a_mode_is_told_to_everybody(guest: Guest) -> None:
    client = admin_client(staff_with("view_event"))
    assert "Emergency mode" not in html_of(client.get("/staff/"))
    Mode.objects.filter(name="emergency").update(is_on=True)
    snapshot.refresh()
    boards._boards.clear()
    text = html_of(client.get("/staff/"))
    assert "Emergency mode" in text
    assert "All is well." not in text
    assert f'data-seconds="{5 * events.SECONDS}"' in text


def test_the_last_numbers_stay_while_the_database_is_away(guest: Guest, manager: User) -> None:
    client = admin_client(manager)
    client.get("/staff/")
    with open_breaker():
        boards._boards.clear()
        text = html_of(client.get("/staff/"))
    assert "The numbers are the last known ones." in text
    assert f'data-part="now-{guest.event.pk}"' in text


def test_one_count_serves_many_readers(
    guest: Guest, manager: User, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    client = admin_client(manager)
    client.get("/staff/")
    # The session's account, whatever the number of events and guests.
    with django_assert_num_queries(1):
        client.get("/staff/", headers={"HX-Request": "true"})


def test_the_first_page_of_admin_leads_to_the_dashboard(admin: Client, guest: Guest) -> None:
    assert 'href="/staff/"' in html_of(admin.get("/admin/"))
    assert f'href="{page_of(guest.event)}"' in html_of(
        admin.get(f"/admin/guests/event/{guest.event.pk}/change/")
    )
    for permissions, shown in (([], False), (["view_event"], True), (["view_mode"], True)):
        text = html_of(admin_client(staff_with(*permissions)).get("/admin/"))
        assert ('href="/staff/"' in text) == shown
