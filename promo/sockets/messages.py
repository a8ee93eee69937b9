"""The JSON messages of `/ws/guest-updates/` (docs/reference.md, Websockets).

They are typed dictionaries, which mypy checks where they are built.
"""

from typing import Literal, NotRequired, TypedDict

from guests.refusals import refusal_text
from guests.requests.tickets import Ticket, TicketState
from snap.observability.steps import QR_SHOWN, count_step


class GuestProcessing(TypedDict):
    """`estimated_completion`: seconds until the request ends. `position`: the place in line."""

    type: Literal["guest_processing"]
    estimated_completion: int
    position: NotRequired[int]


class Pass(TypedDict):
    """`place`: a PlaceCode. `eventState`: an Event.Phase."""

    id: int | None
    qr_code_url: str
    place: str
    eventState: str


class GuestCreated(TypedDict):
    type: Literal["guest_created"]
    success: Literal[True]
    data: Pass


class PlaceInLine(TypedDict):
    position: int | None
    place: str
    eventState: str


class GuestWaitlisted(TypedDict):
    type: Literal["guest_waitlisted"]
    success: Literal[True]
    data: PlaceInLine


class GuestCreationFailed(TypedDict):
    type: Literal["guest_creation_failed"]
    success: Literal[False]
    error: str
    code: str


Message = GuestProcessing | GuestCreated | GuestWaitlisted | GuestCreationFailed


def ticket_message(ticket: Ticket, wait: int) -> Message:
    """Return the message for a ticket's state; `wait` in seconds."""
    match ticket.state:
        case TicketState.CREATED:
            count_step(QR_SHOWN)
            guest: Pass = {
                "id": ticket.guest_id,
                "qr_code_url": ticket.qr_code_url,
                "place": ticket.place,
                "eventState": ticket.event_state,
            }
            return {"type": "guest_created", "success": True, "data": guest}
        case TicketState.WAITLISTED:
            place: PlaceInLine = {
                "position": ticket.position,
                "place": ticket.place,
                "eventState": ticket.event_state,
            }
            return {"type": "guest_waitlisted", "success": True, "data": place}
        case TicketState.PROCESSING | TicketState.QUEUED:
            return processing_message(wait, ticket.position)
        case _:
            code = ticket.refusal_code
            error = refusal_text(code)
            return {"type": "guest_creation_failed", "success": False, "error": error, "code": code}


def processing_message(wait: int, position: int | None = None) -> GuestProcessing:
    """Return the message for a request that has not ended; `wait` in seconds."""
    message: GuestProcessing = {"type": "guest_processing", "estimated_completion": wait}
    if position:
        message["position"] = position
    return message
