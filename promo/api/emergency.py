"""The calls of the JSON API while the database is away (docs/reference.md, Emergency levels)."""

from uuid import UUID

from django.http import HttpResponse
from rest_framework.decorators import api_view, authentication_classes
from rest_framework.exceptions import NotAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.sessions import RememberedAccount, account_phone
from guests.emergency import snapshots
from promo.api.authentication import SignedSessionAuthentication
from promo.api.responses import (
    accepted_response,
    events_response,
    queued_response,
    ticket_response,
)
from promo.api.serializers import read_place
from promo.emergency import (
    QUEUED_SECONDS,
    browser_has_ticket,
    find_emergency_ticket,
    journal_request,
)
from promo.links import PromoLink
from snap.error_pages import unavailable


@api_view(["GET"])
@authentication_classes([SignedSessionAuthentication])
def events(request: Request) -> Response:
    """List the events in this host's snapshots that are not over."""
    return events_response(snapshots.load_listed_events())


@api_view(["POST"])
@authentication_classes([SignedSessionAuthentication])
def create(request: Request) -> Response:
    """Write the request into the journal and return 202."""
    account = request.user
    phone = account_phone(request._request)
    if not isinstance(account, RememberedAccount) or not phone:
        raise NotAuthenticated
    data = read_place(request, account.pk)
    snapshot = snapshots.load_event_by_id(data["event_id"])
    promoter, team = snapshot.find_promoter(
        promoter_id=data.get("promoter_id"), team_id=data.get("team_id")
    )
    ticket = journal_request(
        request._request,
        PromoLink(snapshot.event, promoter, team),
        phone,
        name=data.get("name", ""),
        idempotency_key=data["idempotency_key"],
    )
    return accepted_response(request, ticket, QUEUED_SECONDS)


@api_view(["GET"])
@authentication_classes([SignedSessionAuthentication])
def ticket(request: Request, ticket_id: UUID) -> HttpResponse:
    """Return what this host knows of a ticket, to its browser and its account.

    503 for a ticket that this host does not know: another host may have it.
    """
    found = find_emergency_ticket(request._request, ticket_id)
    if found is None:
        if browser_has_ticket(request._request, ticket_id):
            return queued_response()
        return unavailable(request._request)
    return ticket_response(found)
