"""Emails in admin: read-only, with an action that sends them again."""

from django.contrib import admin, messages
from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _

from notifications.models import Email
from notifications.services import REQUEUEABLE_STATES, requeue_emails
from snap.admin import LongListAdmin, ReadOnlyAdmin, log_changes


@admin.register(Email)
class EmailAdmin(LongListAdmin, ReadOnlyAdmin):
    list_display = ["kind", "state", "cause", "to", "created_at", "sent_at", "attempts", "error"]
    list_filter = ["state", "kind"]
    search_fields = ["to__icontains", "cause__istartswith"]
    ordering = ["-pk"]
    actions = ["send_again"]

    def get_readonly_fields(self, request: HttpRequest, obj: Email | None = None) -> list[str]:
        return [field.name for field in Email._meta.fields if field.editable]

    @admin.action(
        description=_("Send again what is dead, bounced or cancelled"), permissions=["change"]
    )
    def send_again(self, request: HttpRequest, queryset: QuerySet[Email]) -> None:
        with transaction.atomic():
            log_changes(
                request.user, queryset.filter(state__in=REQUEUEABLE_STATES), gettext("Sent again.")
            )
            queued = requeue_emails(queryset)
        text = ngettext("%(n)d email queued again.", "%(n)d emails queued again.", queued)
        self.message_user(request, text % {"n": queued}, messages.SUCCESS)
