"""The JSON API while the database is away (docs/reference.md, Emergency levels)."""

from uuid import UUID

from django.http import HttpResponse
from rest_framework.decorators import api_view, authentication_classes
from rest_framework.exceptions import NotAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.sessions import RememberedAccount, account_phone
from guests.emergency import snapshots
from promo.api.authentication import SignedSession
from promo.api.responses import accepted, listed, queued, state_of
from promo.api.serializers import read_place
from promo.emergency import QUEUED_SECONDS, browser_has_ticket, find_ticket, journal_request
from promo.links import PromoLink
from snap.error_pages import unavailable


@api_view(["GET"])
@authentication_classes([SignedSession])
def events(request: Request) -> Response:
    """List the events that were seen here and are not over."""
    return listed(snapshots.load_listed_events())


@api_view(["POST"])
@authentication_classes([SignedSession])
def create(request: Request) -> Response:
    """Write the request into the journal and say that it is queued."""
    account = request.user
    number = account_phone(request._request)
    if not isinstance(account, RememberedAccount) or not number:
        raise NotAuthenticated
    data = read_place(request, account.pk)
    snapshot = snapshots.load_event_by_id(data["event_id"])
    promoter, team = snapshot.find_promoter(
        promoter_id=data.get("promoter_id"), team_id=data.get("team_id")
    )
    ticket = journal_request(
        request._request,
        PromoLink(snapshot.event, promoter, team),
        number,
        name=data.get("name", ""),
        idempotency_key=data["idempotency_key"],
    )
    return accepted(request, ticket, QUEUED_SECONDS)


@api_view(["GET"])
@authentication_classes([SignedSession])
def ticket(request: Request, ticket_id: UUID) -> HttpResponse:
    """Tell a ticket's own browser and account what this host knows of it.

    503 for a ticket that this host does not know: it may be theirs, from another host.
    """
    found = find_ticket(request._request, ticket_id)
    if found is None:
        if browser_has_ticket(request._request, ticket_id):
            return queued()
        return unavailable(request._request)
    return state_of(found)
