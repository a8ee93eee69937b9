"""The JSON API (spec section 5), thin over the same services as the pages."""

from collections.abc import Callable
from uuid import UUID

from django.db.models import Q
from django.http import Http404
from rest_framework.decorators import api_view
from rest_framework.exceptions import NotAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.models import User
from accounts.sessions import BROWSER_KEY
from guests.creation import create_directly, create_while_waiting
from guests.models import Event, GuestRequest
from guests.services import find_promoter, request_place, wake_guests_worker
from guests.tickets import seconds_left, sent_by_email, ticket_of

from . import api_emergency, api_schema
from .api_answers import accepted, ended, listed, queued, state_of
from .emergency import or_in_emergency, was_given_here
from .serializers import read_place


@or_in_emergency(api_emergency.events)
@api_schema.events
@api_view(["GET"])
def events(request: Request) -> Response:
    """List the events that /promo/ lists, with the ids that a create call takes."""
    return listed(Event.objects.listed().at_database_time())


@or_in_emergency(api_emergency.create, api_emergency.nothing_left)
@api_schema.create
@api_view(["POST"])
def create(request: Request) -> Response:
    """Ask for a place and answer with the QR code, made in this call if that is quick."""
    return _create(request, create_while_waiting)


@or_in_emergency(api_emergency.create, api_emergency.nothing_left)
@api_schema.create_async
@api_view(["POST"])
def create_async(request: Request) -> Response:
    """Ask for a place and answer at once with a ticket, to be followed by websocket or polling."""
    return _create(request, create_directly if wake_guests_worker.is_failing() else None)


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


@or_in_emergency(api_emergency.ticket, api_emergency.nothing_left)
@api_schema.ticket
@api_view(["GET"])
def ticket(request: Request, ticket_id: UUID) -> Response:
    """Tell a ticket's owner its present state."""
    stored = (
        GuestRequest.objects.filter(ticket_id=ticket_id).filter(_theirs(request)).to_tell().first()
    )
    if stored is not None:
        return state_of(ticket_of(stored))
    if was_given_here(request._request, ticket_id):
        # Another account has it, or the journal still, between the database's return and draining.
        others = GuestRequest.objects.filter(ticket_id=ticket_id).to_tell().first()
        return state_of(sent_by_email(others)) if others else queued()
    raise Http404("no such ticket")


def _signed_in(request: Request) -> User:
    if not isinstance(request.user, User):
        raise NotAuthenticated
    return request.user


def _theirs(request: Request) -> Q:
    """Tickets of the account, and of an account that this browser registered in an emergency."""
    browser = request._request.session.get(BROWSER_KEY)
    theirs = Q(browser=browser) if browser else Q(pk=None)
    return theirs | Q(account=request.user) if isinstance(request.user, User) else theirs
