"""JSON API calls about events and places (docs/reference.md, JSON API)."""

from collections.abc import Callable
from uuid import UUID

from django.http import Http404
from rest_framework.decorators import api_view
from rest_framework.exceptions import NotAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.models import User
from guests.models import Event, GuestRequest
from guests.requests.accepting import find_promoter, request_place, wake_guests_worker
from guests.requests.creating import create_guest_now, create_guest_while_waiting
from guests.requests.tickets import seconds_left, ticket_of
from promo.api import emergency as api_emergency
from promo.api import schema as api_schema
from promo.api.responses import accepted, ended, listed, queued, state_of
from promo.api.serializers import read_place
from promo.emergency import emergency_fallback
from promo.limits.policies import TICKET
from promo.ticket_access import TicketAccess, find_ticket
from snap.limits.policy import CREATE, PAGES, limited


@limited(read=PAGES)
@emergency_fallback(api_emergency.events)
@api_schema.events
@api_view(["GET"])
def events(request: Request) -> Response:
    """List the events that /promo/ lists, with the ids that a create call takes."""
    return listed(Event.objects.listed().at_database_time())


@limited(write=CREATE)
@emergency_fallback(api_emergency.create)
@api_schema.create
@api_view(["POST"])
def create(request: Request) -> Response:
    """Ask for a place and answer with the QR code, made in this call if that is quick."""
    return _create(request, create_guest_while_waiting)


@limited(write=CREATE)
@emergency_fallback(api_emergency.create)
@api_schema.create_async
@api_view(["POST"])
def create_async(request: Request) -> Response:
    """Ask for a place and answer at once with a ticket, to be followed by websocket or polling."""
    return _create(request, create_guest_now if wake_guests_worker.is_failing() else None)


def _create(request: Request, end_here: Callable[[GuestRequest], GuestRequest] | None) -> Response:
    account = _signed_in(request)
    data = read_place(request, account.pk)
    event = Event.objects.published().at_database_time().filter(pk=data["event_id"]).first()
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
    was_there = stored.state != GuestRequest.State.PENDING
    if end_here and not was_there:
        stored = end_here(stored)
    ticket = ticket_of(stored)
    if ticket.state == "processing":
        return accepted(request, ticket, seconds_left(stored))
    return ended(ticket, is_existing=was_there)


@limited(read=TICKET)
@emergency_fallback(api_emergency.ticket)
@api_schema.ticket
@api_view(["GET"])
def ticket(request: Request, ticket_id: UUID) -> Response:
    """Tell a ticket's owner its present state."""
    found = find_ticket(ticket_id, request._request.session)
    if found.sight is TicketAccess.NOTHING:
        raise Http404("no such ticket")
    # The journal alone has it between the database's return and the draining.
    return state_of(found.ticket) if found.ticket else queued()


def _signed_in(request: Request) -> User:
    if not isinstance(request.user, User):
        raise NotAuthenticated
    return request.user
