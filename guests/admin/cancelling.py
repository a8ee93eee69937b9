"""The pages on which staff cancel an event, and let a cancelled one take place."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import Count, Q
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_http_methods

from guests.admin.base import acting_user
from guests.models import Event, Guest, GuestRequest
from guests.news.recipients import count_reachable
from guests.requests.event_changes import cancel_event, reinstate_event


@dataclass(frozen=True)
class EventDecision:
    """A decision whether an event takes place: its texts, and the service."""

    label: Promise
    meaning: Promise
    done: Promise
    undone: Promise
    is_for_cancelled: bool
    decide: Callable[..., bool]


DECISIONS = {
    "cancel": EventDecision(
        _("Cancel the event"),
        _(
            "Its page, the passes and the calendar files say so from now on, and the list takes no"
            " more guests. The places stay as they are, and count again if you reinstate the event."
        ),
        _("The event is cancelled."),
        _("The event was cancelled already."),
        is_for_cancelled=False,
        decide=lambda event, user: cancel_event(event, acting_user=user),
    ),
    "reinstate": EventDecision(
        _("Reinstate the event"),
        _(
            "The event takes place after all. The places that were given count again, and so do"
            " their QR codes."
        ),
        _("The event takes place."),
        _("The event was not cancelled."),
        is_for_cancelled=True,
        decide=lambda event, user: reinstate_event(event, acting_user=user),
    ),
}


class EventCancelling(admin.ModelAdmin):  # type: ignore[type-arg]  # not subscriptable at run time
    """Adds both pages to the admin of events."""

    def get_urls(self) -> list[Any]:
        urls = []
        for name in DECISIONS:
            view = self.admin_site.admin_view(require_http_methods(["GET", "POST"])(self.decide))
            url_name = f"guests_event_{name}"
            urls.append(path(f"<int:pk>/{name}/", view, {"name": name}, name=url_name))
        return [*urls, *super().get_urls()]

    def decide(self, request: HttpRequest, pk: int, name: str) -> HttpResponse:
        """Say on GET who hears of it. Decide on POST."""
        decision = DECISIONS[name]
        event = get_object_or_404(Event.objects.with_database_time(), pk=pk)
        if not self.has_change_permission(request, event):
            raise PermissionDenied
        is_possible = bool(event.cancelled_at) == decision.is_for_cancelled
        if request.method == "POST":
            if decision.decide(event, acting_user(request)):
                self.log_change(request, event, str(decision.done))
                self.message_user(request, str(decision.done), messages.SUCCESS)
            else:
                self.message_user(request, str(decision.undone), messages.WARNING)
            return HttpResponseRedirect(reverse("admin:guests_event_change", args=[pk]))
        context = {
            **self.admin_site.each_context(request),
            "title": decision.label,
            "decision": decision,
            "is_possible": is_possible,
            "event": event,
            "audience": audience_of(event),
            "seconds": seconds_until_email(is_cancelled=not event.cancelled_at),
            "is_over": event.is_over(),
            "opts": self.opts,
        }
        return TemplateResponse(request, "admin/guests/event/decide.html", context)


def seconds_until_email(*, is_cancelled: bool) -> int:
    """Return the seconds in which a decision can be undone before guests get an email."""
    seconds: float = settings.EVENT_NEWS_DELAY
    if is_cancelled:
        seconds = settings.EVENT_CANCELLED_DELAY
    return round(seconds)


def audience_of(event: Event) -> list[str]:
    """Return who hears of a decision about an event, as sentences with numbers. Three queries."""
    placed = Guest.objects.filter(event=event).exclude(state=Guest.State.CANCELLED)
    counts = placed.aggregate(
        on_list=Count("pk", filter=Q(state=Guest.State.ON_LIST)),
        waiting=Count("pk", filter=Q(state=Guest.State.WAITING)),
    )
    reachable = count_reachable(event.pk)
    pending = GuestRequest.objects.pending().filter(event=event).count()
    texts = [
        ngettext("%(n)d guest on the list", "%(n)d guests on the list", counts["on_list"])
        % {"n": counts["on_list"]},
        ngettext(
            "%(n)d guest on the waiting list", "%(n)d guests on the waiting list", counts["waiting"]
        )
        % {"n": counts["waiting"]},
    ]
    if pending:
        text = ngettext("%(n)d request in progress", "%(n)d requests in progress", pending)
        texts.append(text % {"n": pending})
    text = ngettext("%(n)d person gets an email", "%(n)d people get an email", reachable)
    texts.append(text % {"n": reachable})
    if others := counts["on_list"] + counts["waiting"] - reachable:
        text = ngettext(
            "%(n)d person gets none: only the page tells them",
            "%(n)d people get none: only their page tells them",
            others,
        )
        texts.append(text % {"n": others})
    return texts
