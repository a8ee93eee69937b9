"""Events, guest lists and requests, as staff see them."""

import logging
from collections.abc import Callable, Iterable
from datetime import timedelta
from functools import partial
from time import monotonic
from typing import Any

from django import forms
from django.conf import settings
from django.contrib import admin, messages
from django.contrib.admin.widgets import AdminFileWidget
from django.core.exceptions import PermissionDenied
from django.db import InterfaceError, OperationalError, transaction
from django.db.models import Count, IntegerField, OuterRef, QuerySet, Subquery, TextChoices
from django.db.models.functions import Coalesce
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils import timezone
from django.utils.cache import add_never_cache_headers
from django.utils.formats import date_format
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _

from accounts.admin import ChangesOnly, FindsPhones
from accounts.models import User
from accounts.phones import masked_phone, readable_phone
from notifications.admin import CutPaginator, LongList, ReadOnly, log_changes
from notifications.delivery import describe as named
from notifications.models import Email
from snap.errors import too_often
from snap.limits import Layer, acquire

from . import audit, claim_admin, qr  # noqa: F401  (claim_admin registers an admin class)
from .exports import guest_list_lines
from .models import (
    DeadEntry,
    Event,
    EventPromoter,
    Guest,
    GuestRequest,
    Promoter,
    StateChange,
    Team,
    TeamMember,
)
from .posters import PosterField, stored_poster
from .replay import REPLAY_BATCH, replay_batch, replay_entries
from .services import PLACES_BATCH, cancel_guests, fill_free_places

log = logging.getLogger(__name__)

LIST_STATES = {
    "open": _("open"),
    "full": _("full"),
    "not_open_yet": _("not open yet"),
    "closed": _("closed"),
    "cancelled": _("cancelled"),
}
NOTHING = "–"
MOST_SHOWN = 50  # sentences of an audit


def link_to(url_name: str, text: object, *, pk: object = None, query: str = "") -> SafeString:
    """Return a link to an admin page: a list with a query, or the page of one row."""
    url = reverse(f"admin:{url_name}", args=[pk] if pk else None)
    return format_html('<a href="{}{}">{}</a>', url, query, text)


def counted(related: QuerySet[Any], key: str) -> Coalesce:
    """Return how many related rows each row has, by their foreign key: a subquery of its own."""
    rows = related.order_by().values(key).annotate(size=Count("pk")).values("size")
    return Coalesce(Subquery(rows, output_field=IntegerField()), 0)


def acting_user(request: HttpRequest) -> User:
    assert isinstance(request.user, User)
    return request.user


def in_time(batches: Iterable[Callable[[], int]]) -> tuple[int, bool]:
    """Run batches, each a transaction, for at most half of what a page may take of the database.

    Return how many rows were changed, and whether that were all batches. When the database fails,
    what was committed before counts; with nothing committed the error propagates.
    """
    stop_at = monotonic() + settings.DATABASE_PAGE_SECONDS / 2
    done = 0
    for batch in batches:
        if monotonic() > stop_at:
            return done, False
        try:
            done += batch()
        except (OperationalError, InterfaceError) as error:
            if not done:
                raise
            log.warning("action_stopped", extra={"done": done, "error": named(error)})
            return done, False
    return done, True


def say_how_far(
    page: "admin.ModelAdmin[Any]", request: HttpRequest, text: str, *, is_all: bool
) -> None:
    """Tell staff what an action has done, and whether it has to be chosen again for the rest."""
    if is_all:
        page.message_user(request, text, messages.SUCCESS)
        return
    rest = gettext("There was no time for the others: choose them again.")
    page.message_user(request, f"{text} {rest}", messages.WARNING)


# Events ------------------------------------------------------------------------------------------


class EventForm(forms.ModelForm):  # type: ignore[type-arg]
    poster = PosterField(
        label=_("poster"),
        required=False,
        widget=AdminFileWidget(attrs={"accept": "image/jpeg,image/png,image/webp"}),
    )

    def clean_capacity(self) -> int:
        capacity: int = self.cleaned_data["capacity"]
        if capacity < self.instance.places_taken:
            raise forms.ValidationError(
                _("%(taken)d places are taken already: cancel guests first."),
                params={"taken": self.instance.places_taken},
            )
        return capacity


class EventPromoterInline(admin.TabularInline):  # type: ignore[type-arg]
    model = EventPromoter
    autocomplete_fields = ["promoter", "team"]
    extra = 0


@admin.register(Event)
class EventAdmin(ChangesOnly):
    form = EventForm
    list_display = ["title", "starts", "list_state", "places", "waiting", "guest_list"]
    list_filter = ["is_published", "has_waiting_list"]
    search_fields = ["title", "venue", "slug"]
    ordering = ["-starts_at"]
    prepopulated_fields = {"slug": ["title"]}
    inlines = [EventPromoterInline]
    actions = ["audit"]
    fieldsets = [
        (None, {"fields": ["title", "slug", "description", "poster", "is_published"]}),
        (_("Where"), {"fields": ["venue", "address"]}),
        (
            _("When"),
            {
                "fields": [
                    "time_zone",
                    "starts_at",
                    "ends_at",
                    "list_opens_at",
                    "list_closes_at",
                    "cancelled_at",
                ],
                "description": _("Write times as clocks show them in %(zone)s.")
                % {"zone": settings.TIME_ZONE},
            },
        ),
        (
            _("List"),
            {"fields": ["capacity", "has_waiting_list", "shows_places_left", "requires_proof"]},
        ),
        (_("Crowds"), {"fields": ["limit_per_minute", "venue_networks"]}),
    ]

    def get_urls(self) -> list[Any]:
        export = self.admin_site.admin_view(self.export_guest_list)
        return [
            path("<int:pk>/guest-list.csv", export, name="guests_event_export"),
            *super().get_urls(),
        ]

    def export_guest_list(self, request: HttpRequest, pk: int) -> StreamingHttpResponse:
        """Send the whole list, phones and emails in clear, to those who may change it."""
        event = get_object_or_404(Event, pk=pk)
        if not request.user.has_perm("guests.change_guest"):
            raise PermissionDenied
        user = acting_user(request)
        log.warning("guest_list_exported", extra={"event_id": pk, "account_id": user.pk})
        self.log_change(request, event, gettext("Guest list exported."))
        answer = StreamingHttpResponse(
            guest_list_lines(event), content_type="text/csv; charset=utf-8"
        )
        answer["Content-Disposition"] = f'attachment; filename="{event.slug}.csv"'
        add_never_cache_headers(answer)
        return answer

    def get_queryset(self, request: HttpRequest) -> QuerySet[Event]:
        line = Guest.objects.filter(event=OuterRef("pk"), state=Guest.State.WAITING)
        events: QuerySet[Event] = super().get_queryset(request)
        return events.annotate(waiting_now=counted(line, "event"))

    def get_object(
        self, request: HttpRequest, object_id: str, from_field: str | None = None
    ) -> Event | None:
        """Hold the event's lock while it is edited: its places are then what the form thinks."""
        if request.method == "POST" and object_id.isdecimal():
            Event.objects.locked(int(object_id)).first()
        event: Event | None = super().get_object(request, object_id, from_field)
        return event

    def changeform_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        """Draw and store an uploaded poster before the transaction that locks the event.

        An account may have only so many images decoded in a minute.
        """
        upload = request.FILES.get("poster") if request.method == "POST" else None
        if upload is None or not self.may_save_events(request):
            return super().changeform_view(request, *args, **kwargs)
        account = f"account {acting_user(request).pk}"
        decision = acquire([Layer("images", account, settings.LIMIT_IMAGES)])
        if not decision.allowed:
            return too_often(request, decision.retry_after)
        with stored_poster(upload) as poster:
            request.FILES["poster"] = poster
            return super().changeform_view(request, *args, **kwargs)

    def may_save_events(self, request: HttpRequest) -> bool:
        return self.has_add_permission(request) or self.has_change_permission(request)

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        super().save_related(request, form, formsets, change)
        give_places = partial(self.give_free_places, request, form.instance)
        transaction.on_commit(give_places, robust=True)

    def give_free_places(self, request: HttpRequest, event: Event) -> None:
        """Give one batch of free places to those who wait; the sweeper gives the rest.

        The event is saved by now, so nothing that goes wrong here may end as an error.
        """
        given = 0
        try:
            given = fill_free_places(event, acting_user=acting_user(request))
            is_owing = Event.objects.owing_places().filter(pk=event.pk).exists()
        except Exception as error:  # noqa: BLE001 (whatever it is, the event was saved)
            log.warning("places_given_later", extra={"event_id": event.pk, "error": named(error)})
            is_owing = True
        if given:
            text = ngettext(
                "%(n)d person who waited has a place now.",
                "%(n)d people who waited have a place now.",
                given,
            )
            self.message_user(request, text % {"n": given}, messages.SUCCESS)
        if is_owing:
            later = gettext("The free places go to the others who wait in the next seconds.")
            self.message_user(request, later, messages.INFO)

    @admin.display(description=_("starts at"), ordering="starts_at")
    def starts(self, event: Event) -> str:
        local = event.local_start
        return f"{date_format(local, 'SHORT_DATE_FORMAT')} {local:%H:%M} {local.tzname()}"

    @admin.display(description=_("list"))
    def list_state(self, event: Event) -> str:
        return str(LIST_STATES[event.list_state()])

    @admin.display(description=_("places"), ordering="places_taken")
    def places(self, event: Event) -> str:
        return f"{event.places_taken}/{event.capacity}"

    @admin.display(description=_("waiting list"), ordering="waiting_now")
    def waiting(self, event: Any) -> int:
        return int(event.waiting_now)

    @admin.display(description=_("guests"))
    def guest_list(self, event: Event) -> SafeString:
        return link_to(
            "guests_guest_changelist", _("Guests"), query=f"?event__id__exact={event.pk}"
        )

    @admin.action(description=_("Audit the lists"), permissions=["change"])
    def audit(self, request: HttpRequest, queryset: QuerySet[Event]) -> None:
        """Say what is wrong with these events' lists, as `manage.py audit` does."""
        events = Event.objects.filter(pk__in=queryset.values("pk"))
        wrong, going = list(audit.failures(events)), audit.in_flight(events)
        for sentence in wrong[:MOST_SHOWN]:
            self.message_user(request, sentence, messages.ERROR)
        text = gettext("%(wrong)d wrong, %(going)d in flight.")
        said = text % {"wrong": len(wrong), "going": len(going)}
        self.message_user(request, said, messages.ERROR if wrong else messages.SUCCESS)
        log_changes(acting_user(request), events, gettext("List audited: %s") % said)


# Teams and promoters -----------------------------------------------------------------------------


class TeamMemberInline(admin.TabularInline):  # type: ignore[type-arg]
    model = TeamMember
    autocomplete_fields = ["account"]
    extra = 0


@admin.register(Team)
class TeamAdmin(ChangesOnly):
    list_display = ["name", "member_count"]
    search_fields = ["name"]
    ordering = ["name"]
    inlines = [TeamMemberInline]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Team]:
        teams: QuerySet[Team] = super().get_queryset(request)
        return teams.annotate(member_count=Count("teammember"))

    @admin.display(description=_("members"), ordering="member_count")
    def member_count(self, team: Any) -> int:
        return int(team.member_count)


@admin.register(Promoter)
class PromoterAdmin(ChangesOnly):
    list_display = ["name", "code", "guest_count", "promo_links"]
    search_fields = ["name", "code"]
    ordering = ["name"]
    autocomplete_fields = ["account"]
    prepopulated_fields = {"code": ["name"]}
    readonly_fields = ["promo_links"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Promoter]:
        promoters: QuerySet[Promoter] = super().get_queryset(request)
        brought = Guest.objects.filter(promoter=OuterRef("pk")).exclude(state=Guest.State.CANCELLED)
        return promoters.annotate(guest_count=counted(brought, "promoter")).prefetch_related(
            "eventpromoter_set__event"
        )

    @admin.display(description=_("guests"), ordering="guest_count")
    def guest_count(self, promoter: Any) -> int:
        return int(promoter.guest_count)

    @admin.display(description=_("promo links"))
    def promo_links(self, promoter: Promoter) -> str:
        """The addresses to share, of events that are not over."""
        if promoter._state.adding:
            return NOTHING
        now = timezone.now()
        ahead = {
            at_event.event
            for at_event in promoter.eventpromoter_set.all()
            if at_event.event.ends_at > now
        }
        links = [
            settings.PUBLIC_URL + reverse("promo:event", args=[event.slug, promoter.code])
            for event in sorted(ahead, key=lambda event: event.starts_at)
        ]
        return format_html_join(SafeString("<br>"), '<a href="{0}">{0}</a>', [(x,) for x in links])


# Guests ------------------------------------------------------------------------------------------


def history_of(changes: QuerySet[StateChange], states: type[TextChoices]) -> str:
    """Return the lines of a history, the newest first, with the names of those who acted."""
    lines, labels = list(changes), dict(states.choices)
    keys = [line.actor.removeprefix("account:") for line in lines if "account:" in line.actor]
    names = {f"account:{user.pk}": user.name for user in User.objects.filter(pk__in=keys)}
    return format_html_join(
        SafeString("<br>"),
        "{} · {} → {} · {}",
        [
            (
                date_format(timezone.localtime(line.at), "SHORT_DATETIME_FORMAT"),
                labels.get(line.from_state, line.from_state) or NOTHING,
                labels.get(line.to_state, line.to_state),
                names.get(line.actor, line.actor),
            )
            for line in lines
        ],
    )


@admin.register(Guest)
class GuestAdmin(LongList, FindsPhones, ChangesOnly, ReadOnly):
    list_display = [
        "name",
        "phone_masked",
        "event",
        "promoter",
        "team",
        "state",
        "checked_in_at",
        "created_at",
    ]
    list_select_related = ["event", "promoter", "team"]
    list_filter = [
        "state",
        ("checked_in_at", admin.EmptyFieldListFilter),
        "event",
        "promoter",
    ]
    search_fields = ["name", "phone__startswith", "account__email__istartswith"]
    ordering = ["-pk"]
    actions = ["cancel"]
    fields = [
        "name",
        "account_link",
        "phone_readable",
        "event_link",
        "promoter",
        "team",
        "state",
        "queue_number",
        "checked_in_at",
        "created_at",
        "qr_image",
        "emails",
        "history",
    ]

    @property
    def show_facets(self) -> admin.ShowFacets:  # type: ignore[override]
        """How many guests are in each state, of the event that is chosen; in long lists on demand.

        Every count reads the whole list.
        """
        counted = Guest.objects.order_by()[: CutPaginator.MOST].count()
        is_long = counted == CutPaginator.MOST
        return admin.ShowFacets.ALLOW if is_long else admin.ShowFacets.ALWAYS

    def get_queryset(self, request: HttpRequest) -> QuerySet[Guest]:
        return super().get_queryset(request).select_related("event", "account", "promoter", "team")

    def get_readonly_fields(self, request: HttpRequest, obj: Guest | None = None) -> list[str]:
        return [str(field) for field in self.fields if field != "name"]

    @admin.display(description=_("phone"), ordering="phone")
    def phone_masked(self, guest: Guest) -> str:
        return masked_phone(guest.phone)

    @admin.display(description=_("phone"))
    def phone_readable(self, guest: Guest) -> str:
        return readable_phone(guest.phone)

    @admin.display(description=_("account"))
    def account_link(self, guest: Guest) -> SafeString:
        return link_to("accounts_user_change", guest.account, pk=guest.account_id)

    @admin.display(description=_("event"))
    def event_link(self, guest: Guest) -> SafeString:
        return link_to("guests_event_change", guest.event, pk=guest.event_id)

    @admin.display(description=_("QR code"))
    def qr_image(self, guest: Guest) -> str:
        if guest.qr_token is None:
            return NOTHING
        image = qr.data_uri(guest.qr_token)
        return format_html('<img src="{}" width="200" height="200" alt="">', image)

    @admin.display(description=_("emails"))
    def emails(self, guest: Guest) -> str:
        """What was queued because of this guest, how far each got, and the way to send it again."""
        cause = f"guest:{guest.pk}/"
        queued = Email.objects.filter(cause__startswith=cause).order_by("pk")
        lines = [(email.kind, email.get_state_display(), email.to, email.error) for email in queued]
        if not lines:
            return NOTHING
        shown = format_html_join(SafeString("<br>"), "{}: {} · {} {}", lines)
        there = link_to("notifications_email_changelist", _("Emails"), query=f"?q={cause}")
        return format_html("{}<br>{}", shown, there)

    @admin.display(description=_("history"))
    def history(self, guest: Guest) -> str:
        return history_of(StateChange.objects.filter(guest=guest), Guest.State)

    @admin.action(description=_("Cancel: take off the list"), permissions=["change"])
    def cancel(self, request: HttpRequest, queryset: QuerySet[Guest]) -> HttpResponse | None:
        """Ask first: the place goes to somebody else at once."""
        guests = queryset.exclude(state=Guest.State.CANCELLED)
        if "confirmed" not in request.POST:
            context = {
                **self.admin_site.each_context(request),
                "title": _("Take off the list?"),
                "guests": guests,
                "opts": self.opts,
            }
            return TemplateResponse(request, "admin/guests/guest/cancel.html", context)
        by_event: dict[int, list[int]] = {}
        for pk, event_id in guests.order_by("event", "pk").values_list("pk", "event"):
            by_event.setdefault(event_id, []).append(pk)
        user = acting_user(request)
        batches = [
            partial(cancel_guests, event_id, pks[start : start + PLACES_BATCH], acting_user=user)
            for event_id, pks in by_event.items()
            for start in range(0, len(pks), PLACES_BATCH)
        ]
        done, is_all = in_time(batches)
        text = ngettext("%(n)d guest cancelled.", "%(n)d guests cancelled.", done)
        say_how_far(self, request, text % {"n": done}, is_all=is_all)
        return None


# Requests ----------------------------------------------------------------------------------------


@admin.register(GuestRequest)
class GuestRequestAdmin(LongList, FindsPhones, ReadOnly):
    list_display = ["name", "phone_masked", "event", "state", "took", "attempts", "level", "why"]
    list_select_related = ["event"]
    list_filter = ["state", "level", "is_second_registration", "event"]
    search_fields = ["=ticket_id", "name", "phone__startswith"]
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
        "refusal",
        "guest",
        "level",
        "is_second_registration",
        "attempts",
        "next_attempt_at",
        "error",
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
        return masked_phone(request.phone)

    @admin.display(description=_("time taken"), ordering="accepted_at")
    def took(self, request: GuestRequest) -> str:
        """From being accepted to the end, or until now while it is in progress."""
        took = (request.ended_at or timezone.now()) - request.accepted_at
        return f"{max(took, timedelta()).total_seconds():.1f} s"

    @admin.display(description=_("reason"))
    def why(self, request: GuestRequest) -> str:
        return request.refusal or request.error or NOTHING

    @admin.display(description=_("history"))
    def history(self, request: GuestRequest) -> str:
        return history_of(StateChange.objects.filter(request=request), GuestRequest.State)

    @admin.action(description=_("Try failed requests again"), permissions=["change"])
    def replay(self, request: HttpRequest, queryset: QuerySet[GuestRequest]) -> None:
        dead = queryset.filter(state=GuestRequest.State.DEAD)
        pks, user = list(dead.values_list("pk", flat=True)), acting_user(request)
        batches = [
            partial(replay_batch, pks[start : start + REPLAY_BATCH], acting_user=user)
            for start in range(0, len(pks), REPLAY_BATCH)
        ]
        replayed, is_all = in_time(batches)
        text = ngettext("%(n)d request tried again.", "%(n)d requests tried again.", replayed)
        say_how_far(self, request, text % {"n": replayed}, is_all=is_all)


@admin.register(DeadEntry)
class DeadEntryAdmin(ReadOnly):
    """What a host's emergency journal could not carry over."""

    list_display = ["ticket_id", "event_slug", "phone_masked", "error", "died_at", "replay_by"]
    list_filter = ["event_slug"]
    search_fields = ["=ticket_id", "phone__startswith"]
    ordering = ["-pk"]
    actions = ["replay"]
    fields = [
        "ticket_id",
        "event_slug",
        "phone_masked",
        "error",
        "attempts",
        "accepted_at",
        "died_at",
        "replay_by",
    ]

    def get_readonly_fields(self, request: HttpRequest, obj: DeadEntry | None = None) -> list[str]:
        return [str(field) for field in self.fields]

    @admin.display(description=_("phone"), ordering="phone")
    def phone_masked(self, entry: DeadEntry) -> str:
        return masked_phone(entry.phone)

    @admin.action(description=_("Try failed requests again"), permissions=["change"])
    def replay(self, request: HttpRequest, queryset: QuerySet[DeadEntry]) -> None:
        user = acting_user(request)
        with transaction.atomic():
            replayed = replay_entries(queryset, actor=f"account:{user.pk}")
            log_changes(user, queryset, gettext("Tried again."))
        text = ngettext("%(n)d request tried again.", "%(n)d requests tried again.", replayed)
        self.message_user(request, text % {"n": replayed}, messages.SUCCESS)
