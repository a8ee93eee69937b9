"""The links of an event: its public page and one promo link for each promoter, to copy."""

from base64 import b64encode
from dataclasses import dataclass
from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import path
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from guests.models import Event
from guests.qr.codes import draw_image
from snap.pages import page_url
from snap.search import Folded


@dataclass(frozen=True)
class SharedLink:
    name: str
    url: str

    @property
    def qr_code(self) -> str:
        """The image of the link's QR code, as a data URI."""
        return "data:image/png;base64," + b64encode(draw_image(self.url)).decode()


def links_of(event: Event) -> list[SharedLink]:
    """Return the address of the event's page, and the promo link of each promoter. One query."""
    links = [SharedLink(gettext("Page of the event"), page_url("event", event.slug))]
    teams_by_promoter: dict[tuple[str, str], list[str]] = {}
    rows = event.eventpromoter_set.select_related("promoter", "team")
    for row in rows.order_by(Folded("promoter__name"), "promoter_id", "pk"):
        teams = teams_by_promoter.setdefault((row.promoter.code, row.promoter.name), [])
        if row.team:
            teams.append(row.team.name)
    for (code, name), teams in teams_by_promoter.items():
        links.append(SharedLink(" · ".join([name, *teams]), page_url("event", event.slug, code)))
    return links


class EventSharing(admin.ModelAdmin):  # type: ignore[type-arg]  # not subscriptable at run time
    """Adds the page with the links to the admin of events."""

    def get_urls(self) -> list[Any]:
        share = self.admin_site.admin_view(self.share_view)
        return [path("<int:pk>/links/", share, name="guests_event_links"), *super().get_urls()]

    def share_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        event = get_object_or_404(Event, pk=pk)
        if not self.has_view_permission(request, event):
            raise PermissionDenied
        context = {
            **self.admin_site.each_context(request),
            "title": _("Links to share"),
            "event": event,
            "links": links_of(event),
            "opts": self.opts,
        }
        return TemplateResponse(request, "admin/guests/event/links.html", context)
