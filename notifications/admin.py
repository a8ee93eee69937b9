from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from .models import Email
from .services import requeue_emails


@admin.register(Email)
class EmailAdmin(admin.ModelAdmin):  # type: ignore[type-arg]  # not subscriptable at run time
    list_display = ["kind", "state", "cause", "to", "created_at", "sent_at", "attempts", "error"]
    list_filter = ["state", "kind"]
    search_fields = ["to", "cause"]
    ordering = ["-pk"]
    show_full_result_count = False
    actions = ["send_again"]

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def get_readonly_fields(self, request: HttpRequest, obj: Email | None = None) -> list[str]:
        return [field.name for field in Email._meta.fields]

    @admin.action(
        description=_("Send again what is dead, bounced or cancelled"), permissions=["change"]
    )
    def send_again(self, request: HttpRequest, queryset: QuerySet[Email]) -> None:
        queued = requeue_emails(queryset)
        text = ngettext("%(n)d email queued again.", "%(n)d emails queued again.", queued)
        self.message_user(request, text % {"n": queued}, messages.SUCCESS)
