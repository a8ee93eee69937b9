"""Guests in admin."""

from functools import partial

from django.conf import settings
from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from accounts.admin import PhoneSearchAdmin
from accounts.phones import masked_phone, readable_phone
from guests.admin.base import acting_user, render_history
from guests.models import Guest, StateChange
from guests.qr.codes import image_data_uri
from guests.requests.waiting_list import PLACES_BATCH, cancel_guests
from notifications.models import Email
from snap.admin import ChangedFieldsAdmin, LongListAdmin, ReadOnlyAdmin
from snap.admin_output import EMPTY, link_to, render_lines, report_progress, run_batches, slices


@admin.register(Guest)
class GuestAdmin(LongListAdmin, PhoneSearchAdmin, ChangedFieldsAdmin, ReadOnlyAdmin):
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
    search_fields = ["name", "account__email__istartswith"]
    search_help_text = _("Name, email, phone, or the last digits of the phone.")
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
        """Show the number of guests beside each filter. In long lists staff have to ask for it.

        Each of these numbers reads the whole list.
        """
        counted = Guest.objects.order_by()[: settings.ADMIN_MAX_COUNT].count()
        if counted == settings.ADMIN_MAX_COUNT:
            return admin.ShowFacets.ALLOW
        return admin.ShowFacets.ALWAYS

    def get_queryset(self, request: HttpRequest) -> QuerySet[Guest]:
        return super().get_queryset(request).select_related("event", "account", "promoter", "team")

    def get_readonly_fields(self, request: HttpRequest, obj: Guest | None = None) -> list[str]:
        return [str(field) for field in self.fields if field != "name"]

    @admin.display(description=_("phone"), ordering="phone")
    def phone_masked(self, guest: Guest) -> str:
        return masked_phone(guest.phone) if guest.phone else EMPTY

    @admin.display(description=_("phone"))
    def phone_readable(self, guest: Guest) -> str:
        return readable_phone(guest.phone) if guest.phone else EMPTY

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
        return format_html('<img src="{}" width="200" height="200" alt="">', image)

    @admin.display(description=_("emails"))
    def emails(self, guest: Guest) -> str:
        """Return the emails about this guest with their states, and a link to their list."""
        cause = f"guest:{guest.pk}/"
        rows = []
        for email in Email.objects.filter(cause__startswith=cause).order_by("pk"):
            rows.append((email.kind, email.get_state_display(), email.to, email.error))
        if not rows:
            return EMPTY
        lines = render_lines("{}: {} · {} {}", rows)
        link = link_to("notifications_email_changelist", _("Emails"), query=f"?q={cause}")
        return format_html("{}<br>{}", lines, link)

    @admin.display(description=_("history"))
    def history(self, guest: Guest) -> str:
        return render_history(StateChange.objects.filter(guest=guest), Guest.State)

    @admin.action(description=_("Cancel: take off the list"), permissions=["change"])
    def cancel(self, request: HttpRequest, queryset: QuerySet[Guest]) -> HttpResponse | None:
        """Ask for confirmation, since the places go to other guests at once. Then cancel guests."""
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
        batches = []
        for event_id, pks in by_event.items():
            for batch in slices(pks, PLACES_BATCH):
                batches.append(partial(cancel_guests, event_id, batch, acting_user=user))
        done, is_all = run_batches(batches)
        text = ngettext("%(n)d guest cancelled.", "%(n)d guests cancelled.", done)
        report_progress(self, request, text % {"n": done}, is_all=is_all)
        return None
