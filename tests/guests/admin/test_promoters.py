"""Promoters and teams in admin."""

from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone

from guests.models import Promoter, Team, TeamMember
from tests.factories import make_account, make_event, make_event_promoter, make_guest, make_promoter
from tests.helpers.admin import admin_url

pytestmark = pytest.mark.django_db


def test_the_page_of_a_promoter_shows_links_of_coming_events(admin: Client) -> None:
    at_event = make_event_promoter(promoter=make_promoter(code="ana"))
    make_event_promoter(
        make_event(
            starts_at=timezone.now() - timedelta(days=2), ends_at=timezone.now() - timedelta(days=1)
        ),
        promoter=at_event.promoter,
    )
    make_guest(at_event.event, promoter=at_event.promoter)
    page = admin.get(admin_url("guests_promoter_change", at_event.promoter.pk)).content.decode()
    assert page.count(f"http://localhost:8000/promo/{at_event.event.slug}/ana/") == 2
    assert page.count("http://localhost:8000/promo/") == 2
    listed = admin.get(admin_url("guests_promoter_changelist")).content.decode()
    assert '<td class="field-guest_count">1</td>' in listed


def test_members_are_edited_on_the_page_of_the_team(admin: Client) -> None:
    member = make_account()
    form = {
        "name": "Equipa Nova",
        "teammember_set-TOTAL_FORMS": 1,
        "teammember_set-INITIAL_FORMS": 0,
        "teammember_set-0-account": member.pk,
    }
    assert admin.post(admin_url("guests_team_add"), form).status_code == 302
    assert TeamMember.objects.get().account == member
    assert Team.objects.get().members.get() == member


@pytest.mark.parametrize("typed", ["Ana", " ANA ", "ana"])
def test_a_code_is_kept_in_small_letters(admin: Client, typed: str) -> None:
    form = {"name": "Ana", "code": typed}
    assert admin.post(admin_url("guests_promoter_add"), form).status_code == 302
    assert Promoter.objects.get().code == "ana"
    again = admin.post(admin_url("guests_promoter_add"), form)
    assert "code" in again.context["adminform"].form.errors
