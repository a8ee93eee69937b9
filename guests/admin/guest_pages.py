"""The pages of admin on which staff do one thing to one guest. GET asks, POST does it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_http_methods, require_POST

from accounts.exceptions import AccountError
from accounts.models import User
from guests.admin.base import acting_user
from guests.admin.guest_forms import EmailForm, MoveForm, ReasonForm, ReinstateForm, refuse_form
from guests.claims.corrections import correct_email_by_staff
from guests.exceptions import GuestError
from guests.lists.services import move_guest, reinstate_guest, remove_guests
from guests.models import Event, Guest
from guests.refusals import staff_refusal_text

PLACED = frozenset({"on_list", "waiting"})
ANY_STATE = frozenset({*PLACED, "cancelled"})


@dataclass(frozen=True)
class GuestPage:
    """One thing that staff do to a guest: its texts, the states that allow it, form and service.

    `run` returns the guest to show afterwards. `waits` is the text if that guest waits for a place.
    """

    label: Promise
    meaning: Promise
    done: Promise
    waits: Promise
    states: frozenset[str]
    make_form: Callable[[Any, Guest], forms.Form]
    run: Callable[[Guest, dict[str, Any], User], Guest]
    # A permission besides that to change guests.
    permission: str = ""


def _reinstate(guest: Guest, data: dict[str, Any], user: User) -> Guest:
    return reinstate_guest(guest, acting_user=user, may_wait=data["may_wait"])


def _move(guest: Guest, data: dict[str, Any], user: User) -> Guest:
    event = Event.objects.with_database_time().get(pk=data["event"].pk)
    return move_guest(
        guest, event, acting_user=user, may_wait=data["may_wait"], reason=data["reason"]
    )


def _correct_email(guest: Guest, data: dict[str, Any], user: User) -> Guest:
    correct_email_by_staff(guest, data["email"], acting_user=user)
    return guest


def _remove(guest: Guest, data: dict[str, Any], user: User) -> Guest:
    if not remove_guests(guest.event_id, [guest.pk], acting_user=user, reason=data["reason"]):
        raise GuestError("not_placed")
    return guest


PAGES = {
    "correct-email": GuestPage(
        _("Correct the email and send again"),
        _(
            "The account gets this address, which is not proven yet. The emails about its places go"
            " there at once, and so does what did not arrive. A QR code that went to an address"
            " which nobody had proven is replaced."
        ),
        _("The email is corrected, and the emails are on their way."),
        _("The email is corrected, and the emails are on their way."),
        ANY_STATE,
        lambda data, guest: EmailForm(data, guest=guest),
        _correct_email,
        permission="accounts.change_user",
    ),
    "reinstate": GuestPage(
        _("Put back on the list"),
        _("The guest gets a place again, under a new QR code, and an email with it."),
        _("The guest has a place again."),
        _("The guest is on the waiting list."),
        frozenset({"cancelled"}),
        lambda data, guest: ReinstateForm(data),
        _reinstate,
    ),
    "move": GuestPage(
        _("Move to another event"),
        _(
            "The place at this event goes to the first in its waiting list. The guest gets a place"
            " at the other event, under a new QR code, and an email with it. If that event has no"
            " place, nothing changes."
        ),
        _("The guest was moved."),
        _("The guest was moved to the waiting list."),
        PLACED,
        lambda data, guest: MoveForm(data, guest=guest),
        _move,
    ),
    "remove": GuestPage(
        _("Take off the list"),
        _(
            "The QR code stops working, and the place goes to the first in the waiting list. The"
            " guest's own pages say so; no email does."
        ),
        _("The guest was taken off the list."),
        _("The guest was taken off the list."),
        PLACED,
        lambda data, guest: ReasonForm(data),
        _remove,
    ),
}


def may_open(request: HttpRequest, page: GuestPage) -> bool:
    """Return whether staff have the page's own permission, if it has one."""
    return not page.permission or request.user.has_perm(page.permission)


class GuestPages(admin.ModelAdmin):  # type: ignore[type-arg]  # not subscriptable at run time
    """Adds the pages to the admin of guests."""

    def get_urls(self) -> list[Any]:
        act = self.admin_site.admin_view(require_http_methods(["GET", "POST"])(self.act_view))
        send = self.admin_site.admin_view(require_POST(self.send_view))
        return [
            path("<int:pk>/send/", send, name="guests_guest_send"),
            path("<int:pk>/do/<slug:name>/", act, name="guests_guest_do"),
            *super().get_urls(),
        ]

    def send_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        raise NotImplementedError

    def pages_for(self, request: HttpRequest, guest: Guest) -> list[tuple[str, Promise]]:
        """Return the addresses and labels of what staff can do to a guest in this state."""
        links = []
        for name, page in PAGES.items():
            if guest.state in page.states and may_open(request, page):
                url = reverse("admin:guests_guest_do", args=[guest.pk, name])
                links.append((url, page.label))
        return links

    def show_done(self, request: HttpRequest, page: GuestPage, guest: Guest) -> None:
        """Tell staff what was done, and where the guest is now."""
        if guest.state == Guest.State.WAITING:
            self.message_user(request, str(page.waits), messages.WARNING)
        else:
            self.message_user(request, str(page.done), messages.SUCCESS)

    def act_view(self, request: HttpRequest, pk: int, name: str) -> HttpResponse:
        """Ask on GET, since places change hands. Act on POST: the service checks under a lock."""
        if name not in PAGES:
            raise Http404("no such page")
        page = PAGES[name]
        guest = get_object_or_404(Guest.objects.select_related("event", "account"), pk=pk)
        if not self.has_change_permission(request, guest) or not may_open(request, page):
            raise PermissionDenied
        form = page.make_form(request.POST if request.method == "POST" else None, guest)
        if form.is_valid():
            try:
                shown = page.run(guest, form.cleaned_data, acting_user(request))
            except (GuestError, AccountError) as error:
                refuse_form(form, staff_refusal_text(error.code))
            else:
                self.log_change(request, guest, str(page.label))
                self.show_done(request, page, shown)
                return HttpResponseRedirect(reverse("admin:guests_guest_change", args=[shown.pk]))
        context = {
            **self.admin_site.each_context(request),
            "title": page.label,
            "page": page,
            "guest": guest,
            "form": form,
            "opts": self.opts,
        }
        return TemplateResponse(request, "admin/guests/guest/act.html", context)
