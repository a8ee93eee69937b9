"""Events in admin."""

import logging
from typing import Any, cast

from django import forms
from django.conf import settings
from django.contrib import admin, messages
from django.contrib.admin.widgets import AdminFileWidget
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models import Model, OuterRef, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, StreamingHttpResponse
from django.shortcuts import get_object_or_404
from django.urls import path, reverse
from django.utils.cache import add_never_cache_headers
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.text import capfirst
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _

from guests import audit
from guests.admin.base import acting_user, count_related
from guests.admin.cancelling import EventCancelling, seconds_until_email
from guests.admin.deleting import KeptWithGuests
from guests.admin.email_previews import EventEmails
from guests.admin.event_history import render_event_history, render_event_news
from guests.admin.event_messages import render_messages
from guests.admin.event_times import SHOWN_TIMES, TIMES, EventTimesForm
from guests.admin.sharing import EventSharing
from guests.exports import guest_list_lines
from guests.models import Event, EventPromoter, Guest
from guests.models.events import EventQuerySet
from guests.news.announcing import count_uninformed
from guests.posters.uploads import PosterField, delete_unused_after_commit, stored_poster
from guests.requests.event_changes import change_event
from guests.requests.waiting_list import events_with_unfilled_places, fill_free_places
from guests.templatetags.event_time import plain_event_time
from snap.admin import ChangedFieldsAdmin, NamedChoices, log_changes
from snap.admin_output import MAX_SHOWN, link_to
from snap.control.modes import is_emergency
from snap.error_pages import too_many_requests
from snap.limits.counters import acquire
from snap.limits.layers import Layer
from snap.observability.logs import describe_error
from snap.pages import page_url

log = logging.getLogger(__name__)


class EventForm(EventTimesForm):
    poster = PosterField(
        label=capfirst(_("poster")),
        required=False,
        widget=AdminFileWidget(attrs={"accept": "image/jpeg,image/png,image/webp"}),
    )

    class Meta:
        model = Event
        fields = ["slug"]

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        # Staff who may only look get no fields.
        if "slug" in self.fields:
            example = page_url("event", self.instance.slug or "festa-de-verao")
            self.fields["slug"].help_text = gettext("The event's page: %(url)s") % {"url": example}

    def clean_is_published(self) -> bool:
        """Keep the page to which passes and emails lead, until the event is over."""
        is_published: bool = self.cleaned_data["is_published"]
        if self.initial.get("is_published") and not is_published and self._has_places():
            raise forms.ValidationError(
                _(
                    "Guests read there how their place stands, until the event is over."
                    " To call it off, cancel it."
                )
            )
        return is_published

    def _has_places(self) -> bool:
        return Guest.objects.upcoming().filter(event=self.instance).exists()

    def clean_capacity(self) -> int:
        capacity: int = self.cleaned_data["capacity"]
        if capacity < self.instance.places_taken:
            raise forms.ValidationError(
                _("%(taken)d places are taken already: cancel guests first."),
                params={"taken": self.instance.places_taken},
            )
        return capacity


class EventPromoterInline(NamedChoices, admin.StackedInline):  # type: ignore[type-arg]
    model = EventPromoter
    autocomplete_fields = ["promoter", "team"]
    extra = 0


@admin.register(Event)
class EventAdmin(EventSharing, EventEmails, EventCancelling, KeptWithGuests, ChangedFieldsAdmin):
    guests_field = "event"
    form = EventForm
    list_display = ["title", "starts", "list_state", "places", "waiting", "guest_list"]
    list_filter = ["is_published", "has_waiting_list"]
    search_fields = ["title", "venue", "slug__icontains"]
    ordering = ["-starts_at"]
    prepopulated_fields = {"slug": ["title"]}
    inlines = [EventPromoterInline]
    actions = ["audit"]
    readonly_fields = ["decision", "messages_sent", "news", "history"]
    fieldsets = [
        (None, {"fields": ["decision", "title", "slug", "description", "poster", "is_published"]}),
        (_("Where"), {"fields": ["venue", "address"]}),
        (
            _("When"),
            {
                "fields": ["time_zone", "zone_change", *TIMES],
                "description": _("Times are as clocks show them in the event's time zone."),
            },
        ),
        (
            _("List"),
            {
                "fields": [
                    "capacity",
                    "has_waiting_list",
                    "shows_places_left",
                    "requires_proof",
                ]
            },
        ),
        (_("Emails"), {"fields": ["sends_reminder", "news"]}),
        (_("Crowds"), {"fields": ["limit_per_minute", "venue_networks"]}),
        (_("History"), {"fields": ["messages_sent", "history"]}),
    ]

    def get_urls(self) -> list[Any]:
        export = self.admin_site.admin_view(self.export_guest_list)
        return [
            path("<int:pk>/guest-list.csv", export, name="guests_event_export"),
            *super().get_urls(),
        ]

    def instead_of_deleting(self, row: Event) -> SafeString:
        if row.cancelled_at:
            return format_html("{}: {}", row, gettext("it is cancelled already"))
        return format_html(
            '{}: <a href="{}">{}</a>',
            row,
            reverse("admin:guests_event_cancel", args=[row.pk]),
            gettext("cancel it instead"),
        )

    def response_post_save_add(self, request: HttpRequest, obj: Event) -> HttpResponseRedirect:
        """Show the links of a new event, which are what its promoters wait for."""
        return HttpResponseRedirect(reverse("admin:guests_event_links", args=[obj.pk]))

    def response_change(self, request: HttpRequest, obj: Event) -> HttpResponse:
        link = link_to("guests_event_links", gettext("Links to share"), pk=obj.pk)
        self.message_user(request, link, messages.INFO)
        return super().response_change(request, obj)

    def export_guest_list(
        self, request: HttpRequest, pk: int
    ) -> StreamingHttpResponse | HttpResponse:
        """Send the list as CSV, with phones and emails, to staff who may change guests.

        In emergency mode it asks first.
        """
        event = get_object_or_404(Event, pk=pk)
        if not request.user.has_perm("guests.change_guest"):
            raise PermissionDenied
        if is_emergency() and "now" not in request.GET:
            return self._postpone_export(request, event)
        user = acting_user(request)
        log.warning("guest_list_exported", extra={"event_id": pk, "account_id": user.pk})
        self.log_change(request, event, gettext("Guest list exported."))
        response = StreamingHttpResponse(
            guest_list_lines(event), content_type="text/csv; charset=utf-8"
        )
        response["Content-Disposition"] = f'attachment; filename="{event.slug}.csv"'
        add_never_cache_headers(response)
        return response

    def _postpone_export(self, request: HttpRequest, event: Event) -> HttpResponse:
        """Ask staff to wait, with a link that does not: the door may need the list."""
        text = gettext(
            "SNAP serves a crowd right now, and an export makes it slower. Try again in some"
            " minutes, or export now if the door needs the list."
        )
        url = reverse("admin:guests_event_export", args=[event.pk])
        link = format_html('{} <a href="{}?now=1">{}</a>', text, url, gettext("Export now"))
        self.message_user(request, link, messages.WARNING)
        return HttpResponseRedirect(reverse("admin:guests_event_change", args=[event.pk]))

    def get_fieldsets(self, request: HttpRequest, obj: Event | None = None) -> Any:
        """Show times in the event's zone to staff who may not change them, too."""
        if obj is None or self.has_change_permission(request, obj):
            return self.fieldsets
        fieldsets = []
        for title, options in self.fieldsets:
            if "zone_change" in options["fields"]:
                options = {**options, "fields": ["time_zone", *SHOWN_TIMES]}
            fieldsets.append((title, options))
        return fieldsets

    def get_queryset(self, request: HttpRequest) -> QuerySet[Event]:
        waiting = Guest.objects.filter(event=OuterRef("pk"), state=Guest.State.WAITING)
        events = cast("EventQuerySet", super().get_queryset(request))
        return events.with_database_time().annotate(waiting_count=count_related(waiting, "event"))

    def get_object(
        self, request: HttpRequest, object_id: str, from_field: str | None = None
    ) -> Event | None:
        """Lock the event before the form is checked, so that its free places stay the same."""
        if request.method == "POST" and object_id.isdecimal():
            Event.objects.locked(int(object_id)).first()
        event: Event | None = super().get_object(request, object_id, from_field)
        return event

    def changeform_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        """Store an uploaded poster before the transaction that locks the event.

        An account may upload LIMIT_IMAGES images in a minute.
        """
        upload = request.FILES.get("poster")
        if upload is None or not self.may_save_events(request):
            return super().changeform_view(request, *args, **kwargs)
        account = f"account {acting_user(request).pk}"
        decision = acquire([Layer("images", account, settings.LIMIT_IMAGES)])
        if not decision.allowed:
            return too_many_requests(request, decision.retry_after)
        with stored_poster(upload, request.POST.get("slug", "")) as poster:
            request.FILES["poster"] = poster
            return super().changeform_view(request, *args, **kwargs)

    def may_save_events(self, request: HttpRequest) -> bool:
        return self.has_add_permission(request) or self.has_change_permission(request)

    def save_model(self, request: HttpRequest, obj: Model, form: Any, change: bool) -> None:
        """Save by the service that tells the holders of places."""
        if not change or not isinstance(obj, Event):
            obj.save()
            return
        columns = {field.name for field in obj._meta.concrete_fields}
        changed = columns.intersection(form.changed_data)
        change_event(obj, changed, acting_user=acting_user(request))
        self.say_who_is_told(request, obj)
        if "poster" in changed:
            delete_unused_after_commit([form.initial["poster"].name])

    def say_who_is_told(self, request: HttpRequest, event: Event) -> None:
        """Say how many guests get an email about the changes, and until when it can be undone."""
        if not (number := count_uninformed(event)):
            return
        seconds = seconds_until_email(is_cancelled=bool(event.cancelled_at))
        text = ngettext(
            "%(n)d person gets an email about the change in %(seconds)d seconds."
            " Undo it before, and nobody gets one.",
            "%(n)d people get an email about the change in %(seconds)d seconds."
            " Undo it before, and nobody gets one.",
            number,
        )
        self.message_user(request, text % {"n": number, "seconds": seconds}, messages.INFO)

    def delete_model(self, request: HttpRequest, obj: Event) -> None:
        super().delete_model(request, obj)
        delete_unused_after_commit([obj.poster.name])

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Event]) -> None:
        posters = list(queryset.values_list("poster", flat=True))
        super().delete_queryset(request, queryset)
        delete_unused_after_commit(posters)

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        super().save_related(request, form, formsets, change)
        event = form.instance
        transaction.on_commit(lambda: self.give_free_places(request, event), robust=True)

    def give_free_places(self, request: HttpRequest, event: Event) -> None:
        """Give one batch of free places to waiting guests. The sweeper gives the rest.

        The event is saved already, so an error here is logged and not shown as a failure.
        """
        given = 0
        try:
            given = fill_free_places(event, acting_user=acting_user(request))
            has_more = events_with_unfilled_places().filter(pk=event.pk).exists()
        except Exception as error:  # noqa: BLE001 (any error: the event was saved)
            log.warning(
                "places_given_later", extra={"event_id": event.pk, "error": describe_error(error)}
            )
            has_more = True
        if given:
            text = ngettext(
                "%(n)d person who waited has a place now.",
                "%(n)d people who waited have a place now.",
                given,
            )
            self.message_user(request, text % {"n": given}, messages.SUCCESS)
        if has_more:
            later = gettext("The free places go to the others who wait in the next seconds.")
            self.message_user(request, later, messages.INFO)

    @admin.display(description=_("takes place"))
    def decision(self, event: Event) -> str:
        if event.cancelled_at is None:
            return gettext("yes")
        local = event.cancelled_at.astimezone(event.zone)
        at = plain_event_time(local, "SHORT_DATE_FORMAT")
        return gettext("no, cancelled %(at)s") % {"at": f"{at.day} {at.time} ({at.zone})"}

    @admin.display(description=_("starts at"), ordering="starts_at")
    def starts(self, event: Event) -> str:
        local = event.local_start
        start = plain_event_time(local, "SHORT_DATE_FORMAT")
        return f"{start.day} {start.time} {local.tzname()}"

    @admin.display(description=_("messages to the list"))
    def messages_sent(self, event: Event) -> str:
        return render_messages(event)

    @admin.display(description=_("changes"))
    def history(self, event: Event) -> str:
        return render_event_history(event)

    @admin.display(description=_("emails about changes"))
    def news(self, event: Event) -> str:
        return render_event_news(event)

    @admin.display(description=_("list"))
    def list_state(self, event: Event) -> str:
        return str(event.list_state().label)

    @admin.display(description=_("places"), ordering="places_taken")
    def places(self, event: Event) -> str:
        return f"{event.places_taken}/{event.capacity}"

    @admin.display(description=_("waiting list"), ordering="waiting_count")
    def waiting(self, event: Any) -> int:
        return int(event.waiting_count)

    @admin.display(description=_("guests"))
    def guest_list(self, event: Event) -> SafeString:
        return link_to(
            "guests_guest_changelist", _("Guests"), query=f"?event__id__exact={event.pk}"
        )

    @admin.action(description=_("Audit the lists"), permissions=["change"])
    def audit(self, request: HttpRequest, queryset: QuerySet[Event]) -> None:
        """Show what is wrong with these events' lists, as `manage.py audit` does."""
        events = Event.objects.filter(pk__in=queryset.values("pk"))
        failures = list(audit.failures(events))
        pending = audit.in_flight(events)
        for sentence in failures[:MAX_SHOWN]:
            self.message_user(request, sentence, messages.ERROR)
        text = gettext("%(wrong)d wrong, %(going)d in flight.")
        summary = text % {"wrong": len(failures), "going": len(pending)}
        level = messages.SUCCESS
        if failures:
            level = messages.ERROR
        self.message_user(request, summary, level)
        log_changes(acting_user(request), events, gettext("List audited: %s") % summary)
