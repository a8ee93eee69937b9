"""Requests a place for an account, and shows the ticket: the end of each way to a place."""

from django.http import HttpRequest, HttpResponse

from accounts.models import User
from guests.exceptions import GuestError
from guests.models import GuestRequest
from guests.requests.accepting import request_place
from guests.requests.creating import (
    DIRECT_SECONDS,
    create_guest_now,
    create_guest_while_waiting,
    creates_now,
)
from guests.requests.tickets import seconds_left, ticket_of
from promo.links import PromoLink
from promo.rendering import is_htmx, render_step, render_ticket
from snap.control.modes import is_emergency


def request_place_by_link(
    link: PromoLink,
    account: User,
    *,
    account_is_new: bool = False,
    due_in: float | None = None,
) -> GuestRequest:
    return request_place(
        link.event,
        account,
        promoter=link.promoter,
        team=link.team,
        account_is_new=account_is_new,
        due_in=due_in,
    )


def respond_with_place(request: HttpRequest, link: PromoLink, account: User) -> HttpResponse:
    try:
        stored = request_place_by_link(link, account)
    except GuestError as error:
        return render_step(request, link, "unavailable", {"refusal": error.code})
    return render_new_ticket(request, stored)


def render_new_ticket(request: HttpRequest, stored: GuestRequest) -> HttpResponse:
    """Show the ticket of a request that was just made.

    The guest is created here when workers end no requests, in emergency mode, and for browsers
    without JavaScript: they get no push, and their page reloads only after two seconds.
    """
    if stored.state == GuestRequest.State.PENDING:
        if creates_now():
            stored = create_guest_now(stored)
        elif is_emergency():
            stored = create_guest_while_waiting(stored, seconds=DIRECT_SECONDS)
        elif not is_htmx(request):
            stored = create_guest_while_waiting(stored)
    return render_ticket(request, ticket_of(stored), wait=seconds_left(stored))
