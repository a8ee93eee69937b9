"""Events in admin."""

import re
from datetime import timedelta

import pytest
from django.contrib.admin.models import LogEntry
from django.core.files.storage import default_storage
from django.test import Client
from pytest_django.fixtures import DjangoCaptureOnCommitCallbacks

from accounts.models import User
from guests.models import Event, StateChange
from guests.qr.codes import image_name
from tests.factories import make_event, make_guest
from tests.helpers.admin import admin_url, change_event
from tests.helpers.invariants import broken_invariants

pytestmark = pytest.mark.django_db


def test_more_places_promote_guests_of_the_waiting_list(
    admin: Client,
    manager: User,
    django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks,
) -> None:
    event = make_event(capacity=1)
    make_guest(event)
    waiting = make_guest(event)
    event.refresh_from_db()
    with django_capture_on_commit_callbacks(execute=True):
        assert change_event(admin, event, capacity=2).status_code == 302
    waiting.refresh_from_db()
    assert waiting.state == "on_list"
    assert waiting.is_promoted
    change = StateChange.objects.get(guest=waiting, to_state="on_list")
    assert change.actor == f"account:{manager.pk}"
    assert broken_invariants() == []


def test_fewer_places_than_are_taken_is_a_clear_error(admin: Client) -> None:
    event = make_event(capacity=3)
    for _ in range(2):
        make_guest(event)
    response = change_event(admin, event, capacity=1)
    assert response.status_code == 200
    assert "2 " in str(response.context["adminform"].form.errors["capacity"])
    event.refresh_from_db()
    assert event.capacity == 3


def test_the_page_of_an_event_with_guests_stays_until_it_is_over(admin: Client) -> None:
    event = make_event()
    assert change_event(admin, event, is_published="").status_code == 302
    assert change_event(admin, event, is_published="on").status_code == 302
    make_guest(event)
    response = change_event(admin, event, is_published="")
    assert "cancela-o" in str(response.context["adminform"].form.errors["is_published"])
    Event.objects.update(
        starts_at=event.starts_at - timedelta(days=30), ends_at=event.ends_at - timedelta(days=30)
    )
    event.refresh_from_db()
    assert change_event(admin, event, is_published="").status_code == 302
    assert not Event.objects.get().is_published


def test_saving_an_old_form_keeps_the_count_of_places(admin: Client) -> None:
    stale = make_event()
    make_guest(Event.objects.get())
    assert stale.places_taken == 0
    assert change_event(admin, stale, title="Outro título").status_code == 302
    event = Event.objects.get()
    assert (event.title, event.places_taken) == ("Outro título", 1)


def test_the_list_shows_local_time_and_counts(admin: Client) -> None:
    event = make_event(capacity=1, time_zone="Atlantic/Azores")
    for _ in range(3):
        make_guest(event)
    page = admin.get(admin_url("guests_event_changelist")).content.decode()
    for text in ("1/1", f"{event.local_start:%H:%M}", f"event__id__exact={event.pk}"):
        assert text in page
    assert '<td class="field-waiting">2</td>' in page


def test_an_event_that_ends_before_it_starts_is_refused(admin: Client) -> None:
    event = make_event()
    event.ends_at = event.starts_at - timedelta(hours=1)
    assert change_event(admin, event).status_code == 200
    assert admin.get(admin_url("guests_event_add")).status_code == 200


def test_staff_audit_chosen_events(admin: Client, manager: User) -> None:
    well, unwell, other = make_guest(), make_guest(), make_guest()
    for guest in (unwell, other):
        default_storage.delete(image_name(guest.qr_token or ""))
    chosen = [well.event_id, unwell.event_id]
    data = {"action": "audit", "_selected_action": chosen}
    page = admin.post(admin_url("guests_event_changelist"), data, follow=True).content.decode()
    assert f"Guest {unwell.pk}: the image" in page
    assert f"Guest {other.pk}: the image" not in page
    assert "1 com problemas, 0 em curso." in page
    logged = LogEntry.objects.values_list("object_id", "user")
    assert set(logged) == {(str(event_id), manager.pk) for event_id in chosen}


def test_an_event_is_cleaned_as_all_text(admin: Client) -> None:
    event = make_event()
    texts = {
        "title": " Festa\u200b do\u00a0Rio ❤️\n",
        "venue": "Cais\u2009Dez",
        "description": "Um\r\n\r\n\r\n\r\nDois\u202c",
    }
    assert change_event(admin, event, **texts).status_code == 302
    event.refresh_from_db()
    assert (event.title, event.venue) == ("Festa do Rio ❤️", "Cais Dez")
    assert event.description == "Um\n\nDois"
    for wrong in ({"title": "\u3164"}, {"title": "a\nb"}, {"venue": "a\x1b"}, {"slug": "\u200b"}):
        refused = change_event(admin, event, **wrong)
        assert list(refused.context["adminform"].form.errors) == list(wrong)


def test_the_last_part_of_the_address_is_kept_in_small_letters(admin: Client) -> None:
    event = make_event()
    assert change_event(admin, event, slug="Noite-LONGA").status_code == 302
    assert Event.objects.get().slug == "noite-longa"


def test_two_addresses_are_not_confused(admin: Client) -> None:
    """The last part of the link is called a name, since `address` is where the venue is."""
    event, other = make_event(), make_event()
    refused = change_event(admin, event, slug=other.slug)
    [text] = refused.context["adminform"].form.errors["slug"]
    assert "Nome no link" in text
    change_event(admin, event, slug="outro-nome")
    page = admin.get(admin_url("guests_event_change", event.pk)).content.decode()
    assert "Nome no link: " in page
    assert not re.search(r"\bEndereço\b", page)
