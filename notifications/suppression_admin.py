"""Addresses without bulk emails in admin: who stopped them, and pages that stop or allow them."""

from typing import Any

from django import forms
from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_http_methods

from notifications.kinds import kind_label
from notifications.models import Suppression, SuppressionChange
from notifications.recipients import recipient_key
from notifications.suppressions import allow_bulk_emails, suppress
from snap.admin import LongListAdmin
from snap.admin_output import (
    ACCOUNT_PREFIX,
    EMPTY,
    MAX_SHOWN,
    actor_names,
    link_to,
    render_lines,
    render_time,
)
from snap.mail_addresses import readable_address
from snap.text_fields import CleanedFormField, EmailFormField

MAX_NOTE = 200


class NoteForm(forms.Form):
    """Asks staff why they allow bulk emails again: the person has said no before."""

    note = CleanedFormField(
        label=_("reason"), max_length=MAX_NOTE, help_text=_("For example: asked us by phone.")
    )


class StopForm(forms.ModelForm):  # type: ignore[type-arg]
    """Stops bulk emails for somebody who asks staff."""

    address = EmailFormField(label=_("Address"))
    note = CleanedFormField(
        label=_("Reason"),
        max_length=MAX_NOTE,
        required=False,
        help_text=_("For example: asked us by phone."),
    )

    class Meta:
        model = Suppression
        fields: list[str] = []


class StoppedFilter(admin.SimpleListFilter):
    title = _("bulk emails")
    parameter_name = "now"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [("stopped", _("gets none")), ("allowed", _("allowed again"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        if self.value() == "stopped":
            return queryset.filter(lifted_at=None)
        if self.value() == "allowed":
            return queryset.exclude(lifted_at=None)
        return queryset


@admin.register(Suppression)
class SuppressionAdmin(LongListAdmin):
    list_display = ["address", "is_stopped", "reason", "at"]
    list_filter = [StoppedFilter, "reason"]
    search_fields = ["recipient__icontains"]
    ordering = ["-pk"]
    change_form_template = "admin/notifications/suppression/change_form.html"
    fields = ["address", "is_stopped", "reason", "at", "lifted_at", "history"]

    def get_form(
        self,
        request: HttpRequest,
        obj: Suppression | None = None,
        change: bool = False,
        **options: Any,
    ) -> Any:
        if obj is None:
            options |= {"form": StopForm, "fields": []}
        return super().get_form(request, obj, change, **options)

    def get_fields(self, request: HttpRequest, obj: Suppression | None = None) -> Any:
        return ["address", "note"] if obj is None else self.fields

    def get_readonly_fields(self, request: HttpRequest, obj: Suppression | None = None) -> Any:
        return [] if obj is None else self.fields

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Return False: the row keeps the history. The page allows bulk emails again instead."""
        return False

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        """Find a mailbox by any spelling of its address."""
        if "@" in search_term.strip("@ "):
            search_term = recipient_key(search_term)
        return super().get_search_results(request, queryset, search_term)

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        """Stop bulk emails for a new row. An address that has a row already keeps it."""
        if change:
            return
        address, note = form.cleaned_data["address"], form.cleaned_data["note"]
        suppress(address, Suppression.Reason.UNSUBSCRIBED, actor=_actor_of(request), note=note)
        stored = Suppression.objects.get(recipient=recipient_key(address))
        obj.pk, obj.recipient = stored.pk, stored.recipient

    def get_urls(self) -> list[Any]:
        allow = self.admin_site.admin_view(require_http_methods(["GET", "POST"])(self.allow_view))
        return [
            path("<int:pk>/allow/", allow, name="notifications_suppression_allow"),
            *super().get_urls(),
        ]

    def allow_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Ask for the reason on GET, and allow bulk emails again on POST."""
        suppression = get_object_or_404(Suppression, pk=pk)
        if not self.has_change_permission(request, suppression):
            raise PermissionDenied
        form = NoteForm(request.POST if request.method == "POST" else None)
        if form.is_valid():
            note = form.cleaned_data["note"]
            if allow_bulk_emails(suppression.recipient, actor=_actor_of(request), note=note):
                self.log_change(request, suppression, gettext("Bulk emails allowed again."))
            self.message_user(request, gettext("This address gets bulk emails again."))
            url = reverse("admin:notifications_suppression_change", args=[pk])
            return HttpResponseRedirect(url)
        context = {
            **self.admin_site.each_context(request),
            "title": _("Allow bulk emails again?"),
            "suppression": suppression,
            "form": form,
            "opts": self.opts,
        }
        return TemplateResponse(request, "admin/notifications/suppression/allow.html", context)

    @admin.display(description=_("address"), ordering="recipient")
    def address(self, suppression: Suppression) -> str:
        return readable_address(suppression.recipient)

    @admin.display(description=_("gets none"), boolean=True)
    def is_stopped(self, suppression: Suppression) -> bool:
        return suppression.lifted_at is None

    @admin.display(description=_("history"))
    def history(self, suppression: Suppression) -> str:
        changes = list(suppression.changes.select_related("email")[:MAX_SHOWN])
        names = actor_names(change.actor for change in changes if change.actor)
        rows = []
        for change in changes:
            who = names.get(change.actor) or _outside_name(change)
            rows.append(
                (
                    render_time(change.at),
                    change.get_what_display(),
                    who,
                    _about(change) or EMPTY,
                )
            )
        return render_lines("{} · {} · {} · {}", rows) or EMPTY


def _outside_name(change: SuppressionChange) -> str:
    """Return who made a change that no member of staff has made."""
    if change.what == SuppressionChange.What.COMPLAINED:
        return gettext("the mail provider")
    return gettext("the person")


def _about(change: SuppressionChange) -> str:
    """Return the reason that staff gave, else the email that the person answered."""
    if change.note or change.email is None:
        return change.note
    text = kind_label(change.email.kind)
    return link_to("notifications_email_change", text, pk=change.email.pk)


def _actor_of(request: HttpRequest) -> str:
    return f"{ACCOUNT_PREFIX}{request.user.pk}"
