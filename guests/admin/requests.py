"""Requests, and journal entries that failed, in admin."""

from datetime import timedelta
from functools import partial

from django.contrib import admin
from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _

from accounts.admin import PhoneSearchAdmin
from accounts.phones import masked_phone
from guests.admin.base import acting_user, render_history
from guests.emergency.replay import REPLAY_BATCH, replay_batch, replay_entries
from guests.models import DeadEntry, GuestRequest, StateChange
from guests.refusals import REFUSALS, staff_refusal_text
from snap.admin import LongListAdmin, ReadOnlyAdmin, log_changes
from snap.admin_output import (
    EMPTY,
    actor_names,
    error_in_words,
    report_progress,
    run_batches,
    slices,
    words_filter,
)

# The levels of service at which a request was accepted.
LEVELS = {1: _("normal"), 2: _("direct, without the queue"), 3: _("emergency")}


@admin.register(GuestRequest)
class GuestRequestAdmin(LongListAdmin, PhoneSearchAdmin, ReadOnlyAdmin):
    list_display = [
        "name",
        "phone_masked",
        "event",
        "state",
        "time_taken",
        "attempts",
        "level_in_words",
        "why",
    ]
    list_select_related = ["event"]
    list_filter = [
        "state",
        words_filter("level", _("level"), lambda: LEVELS),
        "is_second_registration",
        "event",
    ]
    search_fields = ["ticket_id__exact", "name"]
    ordering = ["-pk"]
    actions = ["replay"]
    fields = [
        "ticket_id",
        "name",
        "phone_masked",
        "event",
        "promoter",
        "team",
        "state",
        "why",
        "guest",
        "level_in_words",
        "is_second_registration",
        "attempts",
        "next_attempt_at",
        "accepted_at",
        "ended_at",
        "history",
    ]

    def get_readonly_fields(
        self, request: HttpRequest, obj: GuestRequest | None = None
    ) -> list[str]:
        return [str(field) for field in self.fields]

    @admin.display(description=_("phone"), ordering="phone")
    def phone_masked(self, request: GuestRequest) -> str:
        return masked_phone(request.phone) if request.phone else EMPTY

    @admin.display(description=_("time taken"), ordering="accepted_at")
    def time_taken(self, request: GuestRequest) -> str:
        """Return the time from acceptance to the end, or until now for a pending request."""
        time_taken = (request.ended_at or timezone.now()) - request.accepted_at
        return f"{max(time_taken, timedelta()).total_seconds():.1f} s"

    @admin.display(description=_("reason"))
    def why(self, request: GuestRequest) -> str:
        if request.refusal:
            return staff_refusal_text(request.refusal)
        return error_in_words(request.error) or EMPTY

    @admin.display(description=_("level"), ordering="level")
    def level_in_words(self, request: GuestRequest) -> str:
        return str(LEVELS.get(request.level, request.level))

    @admin.display(description=_("history"))
    def history(self, request: GuestRequest) -> str:
        return render_history(StateChange.objects.filter(request=request), GuestRequest.State)

    @admin.action(description=_("Try failed requests again"), permissions=["change"])
    def replay(self, request: HttpRequest, queryset: QuerySet[GuestRequest]) -> None:
        dead = queryset.filter(state=GuestRequest.State.DEAD)
        pks = list(dead.values_list("pk", flat=True))
        user = acting_user(request)
        batches = []
        for batch in slices(pks, REPLAY_BATCH):
            batches.append(partial(replay_batch, batch, acting_user=user))
        replayed, is_all = run_batches(batches)
        text = ngettext("%(n)d request tried again.", "%(n)d requests tried again.", replayed)
        report_progress(self, request, text, replayed, is_all=is_all)


@admin.register(DeadEntry)
class DeadEntryAdmin(PhoneSearchAdmin, ReadOnlyAdmin):
    """The entries of emergency journals that failed all their attempts."""

    list_display = ["ticket_id", "event_slug", "phone_masked", "problem", "died_at", "replayed_by"]
    list_filter = ["event_slug"]
    search_fields = ["ticket_id__exact"]
    ordering = ["-pk"]
    actions = ["replay"]
    fields = [
        "ticket_id",
        "event_slug",
        "phone_masked",
        "problem",
        "attempts",
        "accepted_at",
        "died_at",
        "replayed_by",
    ]

    def get_readonly_fields(self, request: HttpRequest, obj: DeadEntry | None = None) -> list[str]:
        return [str(field) for field in self.fields]

    @admin.display(description=_("phone"), ordering="phone")
    def phone_masked(self, entry: DeadEntry) -> str:
        return masked_phone(entry.phone)

    @admin.display(description=_("error"))
    def problem(self, entry: DeadEntry) -> str:
        if entry.error in REFUSALS:
            return staff_refusal_text(entry.error)
        return error_in_words(entry.error) or EMPTY

    @admin.display(description=_("replay wanted by"))
    def replayed_by(self, entry: DeadEntry) -> str:
        """Return who asked for another attempt. One query for a row that has somebody."""
        if not entry.replay_by:
            return EMPTY
        return actor_names([entry.replay_by])[entry.replay_by]

    @admin.action(description=_("Try failed requests again"), permissions=["change"])
    def replay(self, request: HttpRequest, queryset: QuerySet[DeadEntry]) -> None:
        user = acting_user(request)
        with transaction.atomic():
            replayed = replay_entries(queryset, actor=f"account:{user.pk}")
            log_changes(user, queryset, gettext("Tried again."))
        text = ngettext("%(n)d request tried again.", "%(n)d requests tried again.", replayed)
        report_progress(self, request, text, replayed)
