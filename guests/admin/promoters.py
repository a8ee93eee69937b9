"""Promoters and teams in admin."""

from operator import attrgetter
from typing import Any

from django.contrib import admin
from django.db.models import Count, OuterRef, QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from guests.admin.base import count_related
from guests.admin.deleting import KeptWithGuests
from guests.admin.detaching import LeavesEvents
from guests.models import Guest, Promoter, Team, TeamMember
from snap.admin import ChangedFieldsAdmin, NamedChoices
from snap.admin_output import EMPTY, render_lines
from snap.pages import page_url
from snap.search import Folded


class TeamMemberInline(NamedChoices, admin.StackedInline):  # type: ignore[type-arg]
    model = TeamMember
    autocomplete_fields = ["account"]
    extra = 0


@admin.register(Team)
class TeamAdmin(LeavesEvents, KeptWithGuests, ChangedFieldsAdmin):
    guests_field = "team"
    list_display = ["name", "member_count"]
    search_fields = ["name"]
    ordering = [Folded("name")]
    inlines = [TeamMemberInline]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Team]:
        teams: QuerySet[Team] = super().get_queryset(request)
        return teams.annotate(member_count=Count("teammember"))

    @admin.display(description=_("members"), ordering="member_count")
    def member_count(self, team: Any) -> int:
        return int(team.member_count)


@admin.register(Promoter)
class PromoterAdmin(LeavesEvents, KeptWithGuests, ChangedFieldsAdmin):
    guests_field = "promoter"
    list_display = ["name", "code", "guest_count", "promo_links"]
    search_fields = ["name", "code__icontains"]
    ordering = [Folded("name")]
    autocomplete_fields = ["account"]
    prepopulated_fields = {"code": ["name"]}
    readonly_fields = ["promo_links"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Promoter]:
        promoters: QuerySet[Promoter] = super().get_queryset(request)
        brought = Guest.objects.filter(promoter=OuterRef("pk")).exclude(state=Guest.State.CANCELLED)
        promoters = promoters.annotate(guest_count=count_related(brought, "promoter"))
        return promoters.prefetch_related("eventpromoter_set__event")

    @admin.display(description=_("guests"), ordering="guest_count")
    def guest_count(self, promoter: Any) -> int:
        return int(promoter.guest_count)

    @admin.display(description=_("promo links"))
    def promo_links(self, promoter: Promoter) -> str:
        """Return the addresses to share, for events that are not over, ordered by start."""
        if promoter._state.adding:
            return EMPTY
        now = timezone.now()
        upcoming = set()
        for event_promoter in promoter.eventpromoter_set.all():
            if event_promoter.event.ends_at > now:
                upcoming.add(event_promoter.event)
        rows = []
        for event in sorted(upcoming, key=attrgetter("starts_at")):
            rows.append([page_url("event", event.slug, promoter.code)])
        return render_lines('<a href="{0}">{0}</a>', rows)
