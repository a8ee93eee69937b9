"""Take a promoter or a team off the events ahead, which is done instead of deleting them."""

from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models import QuerySet
from django.db.models.functions import Now
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_http_methods

from guests.models import EventPromoter
from snap.admin_output import report_progress


class LeavesEvents(admin.ModelAdmin):  # type: ignore[type-arg]  # not subscriptable at run time
    """Adds a page that takes the row off all events that are not over."""

    def get_urls(self) -> list[Any]:
        leave = self.admin_site.admin_view(require_http_methods(["GET", "POST"])(self.leave_view))
        name = f"guests_{self.opts.model_name}_leave"
        return [path("<int:pk>/leave-events/", leave, name=name), *super().get_urls()]

    def instead_of_deleting(self, row: Any) -> SafeString:
        url = reverse(f"admin:guests_{self.opts.model_name}_leave", args=[row.pk])
        text = gettext("take off all events ahead instead")
        return format_html('{}: <a href="{}">{}</a>', row, url, text)

    def at_events_ahead(self, row: Any) -> QuerySet[EventPromoter]:
        ahead = EventPromoter.objects.filter(event__ends_at__gt=Now())
        return ahead.filter(**{str(self.opts.model_name): row}).select_related("event", "promoter")

    def leave_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Ask on GET, take off the events on POST. Guests who were brought so far stay."""
        row = get_object_or_404(self.model, pk=pk)
        may_detach = request.user.has_perm("guests.delete_eventpromoter")
        if not self.has_change_permission(request, row) or not may_detach:
            raise PermissionDenied
        rows = self.at_events_ahead(row).order_by("event__starts_at", "pk")
        if request.method == "POST":
            with transaction.atomic():
                count, _by_model = EventPromoter.objects.filter(pk__in=rows.values("pk")).delete()
                self.log_change(request, row, gettext("Taken off all events ahead."))
            text = ngettext("Taken off %(n)d event.", "Taken off %(n)d events.", count)
            report_progress(self, request, text, count)
            url = reverse(f"admin:guests_{self.opts.model_name}_change", args=[pk])
            return HttpResponseRedirect(url)
        context = {
            **self.admin_site.each_context(request),
            "title": _("Take off all events ahead?"),
            "row": row,
            "rows": rows,
            "opts": self.opts,
        }
        return TemplateResponse(request, "admin/guests/leave_events.html", context)
