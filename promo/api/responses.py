"""The JSON API's successful responses."""

from collections.abc import Iterable
from typing import Any

from django.urls import reverse
from django.utils.translation import gettext as _
from rest_framework.request import Request
from rest_framework.response import Response

from guests.exceptions import GuestError
from guests.models import Event
from guests.requests.tickets import Ticket
from promo.api.errors import refusal
from promo.refusals import refusal_text
from promo.rendering import websocket_url


def listed(events: Iterable[Event]) -> Response:
    """Return what a script needs of each event."""
    described = [
        {
            "id": event.pk,
            "slug": event.slug,
            "title": event.title,
            "venue": event.venue,
            "startsAt": event.local_start.isoformat(),
            "endsAt": event.local_end.isoformat(),
            "timeZone": event.time_zone,
            "listState": event.list_state(),
            "url": reverse("promo:event", args=[event.slug]),
        }
        for event in events
    ]
    return Response({"success": True, "events": described})


def accepted(request: Request, ticket: Ticket, wait: int) -> Response:
    """Return the 202 of an accepted request, with the time it will take in seconds."""
    line = {"position": ticket.position} if ticket.position else {}
    return Response(
        {
            "success": True,
            "jobId": ticket.ticket_id,
            "ticketId": ticket.ticket_id,
            "websocketId": ticket.ticket_id,
            "websocketUrl": websocket_url(
                "guest-updates", ticket.ticket_id, request._request.get_host()
            ),
            "message": _("Your request is in. The QR code follows by itself."),
            "estimated_time": wait,
            "estimatedTime": wait,
            **line,
        },
        status=202,
    )


def ended(ticket: Ticket, *, is_existing: bool) -> Response:
    """Return the answer to a create call whose request has ended."""
    if ticket.state not in {"created", "waitlisted"}:
        code = ticket.refusal or ticket.state
        return refusal(GuestError(code))
    body: dict[str, Any] = {"success": True, "data": data_of(ticket)}
    if is_existing:
        body |= {"message": _("You are on the list already."), "isExisting": True}
    return Response(body)


def state_of(ticket: Ticket) -> Response:
    """Return a ticket's present state."""
    return Response({"success": True, "state": ticket.state, "data": data_of(ticket)})


def queued() -> Response:
    """Return the state of a ticket that the journal has: nothing is known of it but that."""
    return Response({"success": True, "state": "queued", "data": None})


def data_of(ticket: Ticket) -> dict[str, Any] | None:
    """Return what there is to say about a request: its end, or its place in line; else None."""
    match ticket.state:
        case "created":
            return {"id": ticket.guest_id, "qr_code_url": ticket.qr_code_url}
        case "processing" if ticket.position:
            return {"position": ticket.position}
        case "waitlisted":
            return {"id": ticket.guest_id, "position": ticket.position}
        case "refused" | "cancelled" | "unproven":
            code = ticket.refusal or ticket.state
            return {"code": code, "error": refusal_text(code)}
        case _:
            return None
