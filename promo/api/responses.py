"""The successful responses of the JSON API."""

from collections.abc import Iterable
from typing import Any

from django.utils.translation import gettext as _
from rest_framework.request import Request
from rest_framework.response import Response

from guests.exceptions import GuestError
from guests.models import Event
from guests.place_status import PlaceCode
from guests.refusals import refusal_text
from guests.requests.tickets import Ticket, TicketState
from promo.api.errors import refusal_response
from promo.api.serializers import (
    AcceptedSerializer,
    EndedSerializer,
    EventsSerializer,
    StateSerializer,
)
from snap.observability.steps import QR_SHOWN, count_step
from snap.pages import websocket_url


def events_response(events: Iterable[Event]) -> Response:
    return Response(EventsSerializer.render(events=events))


def accepted_response(request: Request, ticket: Ticket, wait: int) -> Response:
    """Return the 202 for a request that has not ended; `wait` is the estimate in seconds."""
    values: dict[str, Any] = {
        "ticket_id": ticket.ticket_id,
        "websocket_url": websocket_url(
            "guest-updates", ticket.ticket_id, request._request.get_host()
        ),
        "message": _("Your request is in. The QR code follows by itself."),
        "wait": wait,
    }
    if ticket.position:
        values["position"] = ticket.position
    return Response(AcceptedSerializer.render(**values), status=202)


def ended_response(ticket: Ticket, *, is_existing: bool) -> Response:
    """Return the response to a create call whose request has ended: its place, or the refusal.

    `is_existing`: it had ended before this call.
    """
    if ticket.state not in {TicketState.CREATED, TicketState.WAITLISTED}:
        return refusal_response(GuestError(ticket.refusal_code))
    values: dict[str, Any] = {"data": ticket_data(ticket)}
    if is_existing:
        values |= {"message": _existing_text(ticket), "is_existing": True}
    return Response(EndedSerializer.render(**values))


def _existing_text(ticket: Ticket) -> str:
    """Return what somebody reads who asks again for a place."""
    if ticket.place == PlaceCode.WAITING:
        return _("You are on the waiting list already.")
    text = ticket.place_text
    if ticket.shows_code or text is None:
        return _("You are on the list already.")
    return str(text.heading)


def ticket_response(ticket: Ticket) -> Response:
    """Return a ticket's present state."""
    return Response(StateSerializer.render(state=ticket.state, data=ticket_data(ticket)))


def queued_response() -> Response:
    """Return the state of a ticket in a journal, of which nothing else is known."""
    return Response(StateSerializer.render(state=TicketState.QUEUED, data=None))


def ticket_data(ticket: Ticket) -> dict[str, Any] | None:
    """Return the values of TicketDataSerializer for a ticket, None when its state says all."""
    code = ticket.refusal_code
    match ticket.state:
        case TicketState.CREATED:
            count_step(QR_SHOWN)
            return place_data(ticket) | {"id": ticket.guest_id, "qr_code_url": ticket.qr_code_url}
        case TicketState.PROCESSING if ticket.position:
            return {"position": ticket.position}
        case TicketState.WAITLISTED:
            return place_data(ticket) | {"id": ticket.guest_id, "position": ticket.position}
        case TicketState.CANCELLED | TicketState.UNPROVEN:
            return place_data(ticket) | {"code": code, "error": refusal_text(code)}
        case TicketState.REFUSED:
            return {"code": code, "error": refusal_text(code)}
        case _:
            return None


def place_data(ticket: Ticket) -> dict[str, Any]:
    """Return how a ticket's place and its event stand."""
    return {"place": ticket.place, "eventState": ticket.event_state}
