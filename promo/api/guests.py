"""JSON API calls about events, places and tickets (docs/reference.md, JSON API)."""

from collections.abc import Callable
from functools import partial
from uuid import UUID

from django.http import Http404
from rest_framework.decorators import api_view
from rest_framework.exceptions import NotAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.models import User
from guests.models import Event, GuestRequest
from guests.requests.accepting import find_promoter, request_place
from guests.requests.creating import (
    DIRECT_SECONDS,
    create_guest_now,
    create_guest_while_waiting,
    creates_now,
)
from guests.requests.tickets import TicketState, seconds_left, ticket_of
from promo.api import emergency, schema
from promo.api.responses import (
    accepted_response,
    ended_response,
    events_response,
    queued_response,
    ticket_response,
)
from promo.api.serializers import read_place
from promo.emergency import emergency_fallback
from promo.limits.policies import TICKET
from promo.ticket_access import TicketAccess, find_ticket
from snap.control.modes import is_emergency
from snap.limits.policy import CREATE, PAGES, limited


@limited(read=PAGES)
@emergency_fallback(emergency.events)
@schema.events
@api_view(["GET"])
def events(request: Request) -> Response:
    """List the events that /promo/ lists, with the ids that a create call takes."""
    return events_response(Event.objects.listed().with_database_time())


@limited(write=CREATE)
@emergency_fallback(emergency.create)
@schema.create
@api_view(["POST"])
def create(request: Request) -> Response:
    """Ask for a place and wait for the guest: 200 with the QR code, or 202 when it takes longer."""
    if creates_now():
        return _create(request, create_guest_now)
    return _create(request, create_guest_while_waiting)


@limited(write=CREATE)
@emergency_fallback(emergency.create)
@schema.create_async
@api_view(["POST"])
def create_async(request: Request) -> Response:
    """Ask for a place and return 202 with a ticket, to be followed by websocket or polling."""
    if creates_now():
        return _create(request, create_guest_now)
    if is_emergency():
        return _create(request, partial(create_guest_while_waiting, seconds=DIRECT_SECONDS))
    return _create(request)


def _create(
    request: Request, create_guest: Callable[[GuestRequest], GuestRequest] | None = None
) -> Response:
    """Store the request and respond. `create_guest` ends it in this thread, as far as it can."""
    account = _signed_in_account(request)
    data = read_place(request, account.pk)
    event = Event.objects.published().with_database_time().filter(pk=data["event_id"]).first()
    if event is None:
        raise Http404("no such event")
    promoter, team = find_promoter(
        event, promoter_id=data.get("promoter_id"), team_id=data.get("team_id")
    )
    stored = request_place(
        event,
        account,
        promoter=promoter,
        team=team,
        name=data.get("name", ""),
        idempotency_key=data["idempotency_key"],
    )
    is_existing = stored.state != GuestRequest.State.PENDING
    if create_guest and not is_existing:
        stored = create_guest(stored)
    ticket = ticket_of(stored)
    if ticket.state == TicketState.PROCESSING:
        return accepted_response(request, ticket, seconds_left(stored))
    return ended_response(ticket, is_existing=is_existing)


@limited(read=TICKET)
@emergency_fallback(emergency.ticket)
@schema.ticket
@api_view(["GET"])
def ticket(request: Request, ticket_id: UUID) -> Response:
    """Return the present state of a ticket to its owner."""
    found = find_ticket(ticket_id, request._request.session)
    if found.access is TicketAccess.NOTHING:
        raise Http404("no such ticket")
    if found.ticket is None:
        # After an outage the request is only in the journal until that is drained.
        return queued_response()
    return ticket_response(found.ticket)


def _signed_in_account(request: Request) -> User:
    if not isinstance(request.user, User):
        raise NotAuthenticated
    return request.user
