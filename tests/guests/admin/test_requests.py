"""Requests and dead journal entries in admin."""

from uuid import uuid4

import pytest
from django.contrib.admin.models import LogEntry
from django.test import Client
from django.utils import timezone

from accounts.models import User
from guests.models import DeadEntry, GuestRequest
from tests.factories import make_request
from tests.helpers.admin import admin_url

pytestmark = pytest.mark.django_db


def test_requests_are_read_only_and_dead_ones_can_be_replayed(admin: Client) -> None:
    request = make_request()
    page = admin.get(admin_url("guests_guestrequest_change", request.pk)).content.decode()
    assert 'name="_save"' not in page
    form = {"name": "Outro"}
    admin.post(admin_url("guests_guestrequest_change", request.pk), form)
    GuestRequest.objects.update(state="dead", attempts=3, ended_at=timezone.now(), error="Oops")
    listed = admin.get(admin_url("guests_guestrequest_changelist"), {"state__exact": "dead"})
    assert "Oops" in listed.content.decode()
    again = {"action": "replay", "_selected_action": request.pk}
    admin.post(admin_url("guests_guestrequest_changelist"), again)
    request.refresh_from_db()
    assert (request.state, request.attempts, request.name == "Outro") == ("pending", 0, False)


def test_a_dead_entry_is_shown_and_can_be_replayed(admin: Client, manager: User) -> None:
    dead = DeadEntry.objects.create(
        ticket_id=uuid4(),
        event_slug="festa",
        phone="+351912345678",
        error="LookupError",
        attempts=10,
        accepted_at=timezone.now(),
    )
    listed = admin.get(admin_url("guests_deadentry_changelist")).content.decode()
    assert str(dead.ticket_id) in listed
    assert "+351912345678" not in listed
    data = {"action": "replay", "_selected_action": [dead.pk]}
    admin.post(admin_url("guests_deadentry_changelist"), data)
    dead.refresh_from_db()
    assert dead.replay_by == f"account:{manager.pk}"
    assert LogEntry.objects.get().user == manager
