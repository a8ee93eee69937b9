"""Guests in admin: the list, the page of a guest, and adding one by hand."""

from functools import partial
from typing import Any

from django import forms
from django.conf import settings
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _

from accounts.admin import PhoneSearchAdmin
from accounts.disposable import DisposableFilter
from accounts.exceptions import AccountError
from accounts.phones import readable_phone
from guests.admin.base import acting_user, render_phone_end
from guests.admin.checking_in import CheckInActions
from guests.admin.guest_emails import (
    GuestEmails,
    GuestList,
    send_about_guests,
    send_email_of_guest,
)
from guests.admin.guest_forms import (
    AddGuestForm,
    EventChoice,
    GuestForm,
    ReasonForm,
    attribution_text,
    refuse_form,
)
from guests.admin.guest_history import render_guest_history
from guests.admin.guest_pages import GuestPages
from guests.exceptions import GuestError
from guests.lists.services import NewGuest, add_guest, reinstate_guest, remove_guests, set_promoter
from guests.models import Event, Guest
from guests.passes.holders import link_from_staff
from guests.qr.codes import image_data_uri, short_code
from guests.refusals import staff_refusal_text
from guests.requests.pushes import push_places_changed
from guests.requests.waiting_list import PLACES_BATCH
from notifications.staff_words import render_delivery
from snap.admin import ChangedFieldsAdmin, LongListAdmin, ReadOnlyAdmin
from snap.admin_output import (
    EMPTY,
    link_to,
    report_progress,
    run_batches,
    show_results,
    slices,
)
from snap.mail_addresses import readable_address


class ArrivedFilter(admin.SimpleListFilter):
    title = _("arrived")
    parameter_name = "arrived"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [("yes", _("arrived")), ("no", _("not yet"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Guest]) -> QuerySet[Guest]:
        if self.value() == "yes":
            return queryset.exclude(checked_in_at=None)
        if self.value() == "no":
            return queryset.filter(checked_in_at=None)
        return queryset


class DisposableGuestFilter(DisposableFilter):
    email_field = "account__email"


@admin.register(Guest)
class GuestAdmin(
    CheckInActions, GuestPages, LongListAdmin, PhoneSearchAdmin, ChangedFieldsAdmin, ReadOnlyAdmin
):
    form = GuestForm
    change_form_template = "admin/guests/guest/change_form.html"
    list_display = ["name", "phone_end", "state", "event", "brought_by", "note", "arrived", "email"]
    list_select_related = ["event", "promoter", "team"]
    list_filter = ["state", ArrivedFilter, "event", "promoter", DisposableGuestFilter]
    search_fields = ["name", "account__email__istartswith"]
    search_help_text = _("Name, email, phone, or the last digits of the phone.")
    ordering = ["-pk"]
    actions = ["check_in", "undo_check_in", "send_email_again", "reinstate", "cancel"]
    fields = [
        "name",
        "note",
        "attribution",
        "account_link",
        "phone_readable",
        "event_link",
        "state",
        "queue_number",
        "arrived",
        "created_at",
        "qr_image",
        "pass_link",
        "history",
    ]

    @property
    def show_facets(self) -> admin.ShowFacets:  # type: ignore[override]
        """Show the number of guests beside each filter. In long lists staff have to ask for it.

        Each of these numbers reads the whole list.
        """
        counted = Guest.objects.order_by()[: settings.ADMIN_MAX_COUNT].count()
        if counted == settings.ADMIN_MAX_COUNT:
            return admin.ShowFacets.ALLOW
        return admin.ShowFacets.ALWAYS

    def get_queryset(self, request: HttpRequest) -> QuerySet[Guest]:
        return super().get_queryset(request).select_related("event", "account", "promoter", "team")

    def get_fields(self, request: HttpRequest, obj: Guest | None = None) -> Any:
        """Staff who may only look see the promoter as text, and get no link to hand over."""
        if self.has_change_permission(request, obj):
            return self.fields
        shown = [str(field) for field in self.fields if field != "pass_link"]
        return ["brought_by" if field == "attribution" else field for field in shown]

    def get_readonly_fields(self, request: HttpRequest, obj: Guest | None = None) -> list[str]:
        editable = {"name", "note", "attribution"}
        return [str(field) for field in self.get_fields(request, obj) if field not in editable]

    def has_add_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("guests.add_guest")

    def get_changelist(self, request: HttpRequest, **options: Any) -> type[GuestList]:
        return GuestList

    # Adding -----------------------------------------------------------------------------------

    def add_view(
        self,
        request: HttpRequest,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """Ask for the event first, then for the guest, whose promoter works at that event."""
        if not self.has_add_permission(request):
            raise PermissionDenied
        choice = EventChoice(request.GET if "event" in request.GET else None)
        if not choice.is_valid():
            return self._render_adding(request, choice, event=None)
        chosen = choice.cleaned_data["event"]
        event = Event.objects.with_database_time().get(pk=chosen.pk)
        form = AddGuestForm(request.POST or None, event=event)
        guest = None
        if request.method == "POST" and form.is_valid():
            guest = self._add(request, event, form)
        if guest is None:
            return self._render_adding(request, form, event=event)
        return HttpResponseRedirect(reverse("admin:guests_guest_change", args=[guest.pk]))

    def _add(self, request: HttpRequest, event: Event, form: AddGuestForm) -> Guest | None:
        """Add a guest. Return None after a refusal, which the form then shows."""
        data = form.cleaned_data
        promoter, team = data["attribution"]
        new = NewGuest(
            name=data["name"],
            phone=data["phone"],
            email=data["email"],
            note=data["note"],
            language=data["language"] or settings.LANGUAGE_CODE,
            promoter=promoter,
            team=team,
            key=data["key"].hex,
        )
        may_wait = data.get("may_wait", False)
        try:
            guest = add_guest(event, new, acting_user=acting_user(request), may_wait=may_wait)
        except GuestError as error:
            refuse_form(form, staff_refusal_text(error.code))
            return None
        except AccountError as error:
            refuse_form(form, staff_refusal_text(error.code), "email")
            return None
        self.log_addition(request, guest, gettext("Added by hand."))
        self._show_what_follows(request, guest, data["email"])
        return guest

    def _show_what_follows(self, request: HttpRequest, guest: Guest, typed_email: str) -> None:
        """Tell staff where the guest is now, and how the guest hears of it."""
        account = guest.account
        text = gettext("%(name)s is on the list.") % {"name": guest.name}
        if not guest.is_on_list:
            text = gettext("%(name)s is on the waiting list.") % {"name": guest.name}
        self.message_user(request, text, messages.SUCCESS)
        if account.email and typed_email and typed_email.casefold() != account.email.casefold():
            kept = gettext("The account has another email, which stays: %(email)s")
            text = kept % {"email": readable_address(account.email)}
            self.message_user(request, text, messages.WARNING)
        if not account.email:
            link = gettext("No email goes out. Hand over the link of the pass below.")
            self.message_user(request, link, messages.WARNING)

    def _render_adding(
        self, request: HttpRequest, form: forms.Form, *, event: Event | None
    ) -> HttpResponse:
        context = {
            **self.admin_site.each_context(request),
            "title": _("Add a guest"),
            "form": form,
            "event": event,
            "opts": self.opts,
        }
        return TemplateResponse(request, "admin/guests/guest/add.html", context)

    # Changing ---------------------------------------------------------------------------------

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        super().save_model(request, obj, form, change)
        push_places_changed([obj])
        if "attribution" in form.changed_data:
            promoter, team = form.cleaned_data["attribution"]
            try:
                set_promoter(obj, promoter, team, acting_user=acting_user(request))
            except GuestError as error:
                # The promoter left the event after the form was opened.
                self.message_user(request, staff_refusal_text(error.code), messages.ERROR)

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        guest = self.get_object(request, object_id)
        context: dict[str, Any] = {**(extra_context or {})}
        if guest is not None:
            may_change = self.has_change_permission(request, guest)
            emails = GuestEmails(guest)
            context |= {
                "bounced": emails.bounced(),
                "email_rows": emails.rows(),
                "guest_pages": self.pages_for(request, guest) if may_change else [],
            }
        return super().change_view(request, object_id, form_url, context)

    def send_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Send the email about a guest's place again, or the one whose button was pressed."""
        guest = get_object_or_404(Guest.objects.select_related("event", "account"), pk=pk)
        if not self.has_change_permission(request, guest):
            raise PermissionDenied
        email_id = request.POST.get("email", "")
        if not email_id:
            send_about_guests(request, [guest])
        elif not email_id.isdecimal() or not send_email_of_guest(request, guest, int(email_id)):
            raise Http404("no such email")
        return HttpResponseRedirect(reverse("admin:guests_guest_change", args=[pk]))

    # Fields -----------------------------------------------------------------------------------

    @admin.display(description=_("phone"), ordering="phone")
    def phone_end(self, guest: Guest) -> str:
        return render_phone_end(guest.phone)

    @admin.display(description=_("phone"))
    def phone_readable(self, guest: Guest) -> str:
        if not guest.phone:
            return EMPTY
        return readable_phone(guest.phone)

    @admin.display(description=_("promoter"), ordering="promoter__name")
    def brought_by(self, guest: Guest) -> str:
        return attribution_text(guest.promoter, guest.team)

    @admin.display(description=_("arrived"), ordering="checked_in_at")
    def arrived(self, guest: Guest) -> str:
        """Return when the guest came in, as clocks show it at the event."""
        if guest.checked_in_at is None:
            return EMPTY
        return f"✓ {guest.checked_in_at.astimezone(guest.event.zone):%H:%M}"

    @admin.display(description=_("email"))
    def email(self, guest: Any) -> str:
        """Return what became of the email about the place. Only for the list, which reads it."""
        return render_delivery(guest.email_about_place)

    @admin.display(description=_("account"))
    def account_link(self, guest: Guest) -> SafeString:
        return link_to("accounts_user_change", guest.account, pk=guest.account_id)

    @admin.display(description=_("event"))
    def event_link(self, guest: Guest) -> SafeString:
        return link_to("guests_event_change", guest.event, pk=guest.event_id)

    @admin.display(description=_("QR code"))
    def qr_image(self, guest: Guest) -> str:
        if guest.qr_token is None:
            return EMPTY
        image = image_data_uri(guest.qr_token)
        return format_html(
            '<img src="{}" width="200" height="200" alt=""><br>{}',
            image,
            short_code(guest.qr_token),
        )

    @admin.display(description=_("link of the pass"))
    def pass_link(self, guest: Guest) -> str:
        """Return a link that staff hand over. It shows the pass, and proves no email."""
        if guest.qr_token is None:
            return EMPTY
        if guest.is_withheld:
            return gettext("It waits for a proof of the phone or the email.")
        return format_html(
            '<code class="copied-text">{}</code><br>{}',
            link_from_staff(guest),
            gettext("Whoever has it sees the QR code: give it to the guest only."),
        )

    @admin.display(description=_("history"))
    def history(self, guest: Guest) -> str:
        return render_guest_history(guest)

    # Actions ----------------------------------------------------------------------------------

    @admin.action(description=_("Send the email about the place again"), permissions=["change"])
    def send_email_again(self, request: HttpRequest, queryset: QuerySet[Guest]) -> None:
        send_about_guests(request, queryset.select_related("event", "account").order_by("pk"))

    @admin.action(description=_("Put back on the list"), permissions=["change"])
    def reinstate(self, request: HttpRequest, queryset: QuerySet[Guest]) -> None:
        user = acting_user(request)
        done: list[str] = []
        refused: list[str] = []

        def reinstate_one(guest: Guest) -> int:
            try:
                reinstate_guest(guest, acting_user=user)
            except GuestError as error:
                refused.append(f"{guest.name}: {staff_refusal_text(error.code)}")
            else:
                done.append(guest.name)
            return 1

        guests = queryset.select_related("event").order_by("event", "pk")
        _ran, is_all = run_batches([partial(reinstate_one, guest) for guest in guests])
        show_results(
            request,
            done=done,
            done_text=ngettext(
                "%(n)d guest is on the list again.",
                "%(n)d guests are on the list again.",
                len(done),
            ),
            refused=refused,
            refused_text=ngettext(
                "%(n)d guest was not put back.", "%(n)d guests were not put back.", len(refused)
            ),
            is_all=is_all,
        )

    @admin.action(description=_("Cancel: take off the list"), permissions=["change"])
    def cancel(self, request: HttpRequest, queryset: QuerySet[Guest]) -> HttpResponse | None:
        """Ask for confirmation, since the places go to other guests at once. Then cancel guests."""
        guests = queryset.exclude(state=Guest.State.CANCELLED)
        form = ReasonForm(request.POST if "confirmed" in request.POST else None)
        if not form.is_valid():
            context = {
                **self.admin_site.each_context(request),
                "title": _("Take off the list?"),
                "guests": guests,
                "form": form,
                "opts": self.opts,
            }
            return TemplateResponse(request, "admin/guests/guest/cancel.html", context)
        by_event: dict[int, list[int]] = {}
        for pk, event_id in guests.order_by("event", "pk").values_list("pk", "event"):
            by_event.setdefault(event_id, []).append(pk)
        user, reason = acting_user(request), form.cleaned_data["reason"]
        batches = []
        for event_id, pks in by_event.items():
            for batch in slices(pks, PLACES_BATCH):
                batches.append(
                    partial(remove_guests, event_id, batch, acting_user=user, reason=reason)
                )
        done, is_all = run_batches(batches)
        text = ngettext("%(n)d guest cancelled.", "%(n)d guests cancelled.", done)
        report_progress(self, request, text, done, is_all=is_all)
        return None
