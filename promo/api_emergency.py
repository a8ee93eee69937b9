"""The JSON API while the database is away (spec section 9, levels 3 and 4)."""

from collections.abc import Iterable
from typing import Any
from uuid import UUID

from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.urls import reverse
from django.utils.translation import gettext as _
from rest_framework.decorators import api_view, authentication_classes
from rest_framework.exceptions import NotAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.sessions import RememberedAccount, account_phone
from guests import snapshots
from guests.journal import JournalError
from guests.models import Event
from snap.errors import RETRY_AFTER

from .api_answers import SignedSession, accepted, queued
from .emergency import QUEUED_SECONDS, journal, was_given_here
from .links import PromoLink
from .serializers import read_place


@api_view(["GET"])
@authentication_classes([SignedSession])
def events(request: Request) -> Response:
    """List the events that were seen here and are not over."""
    seen = (snapshot.event for snapshot in snapshots.recall_all())
    return answer_events(event for event in seen if event.list_state() != "closed")


def answer_events(events: Iterable[Event]) -> Response:
    """Return what a script needs of each event."""
    listed = [
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
    return Response({"success": True, "events": listed})


@api_view(["POST"])
@authentication_classes([SignedSession])
def create(request: Request) -> Response:
    """Write the request into the journal and say that it is queued."""
    account = request.user
    number = account_phone(request._request)
    if not isinstance(account, RememberedAccount) or not number:
        raise NotAuthenticated
    data = read_place(request, account.pk)
    seen = {snapshot.event.pk: snapshot for snapshot in snapshots.recall_all()}
    snapshot = seen.get(data["event_id"])
    if snapshot is None:
        raise JournalError("the event was never seen here")
    promoter, team = snapshot.find_promoter(
        promoter_id=data.get("promoter_id"), team_id=data.get("team_id")
    )
    link = PromoLink(snapshot.event, promoter, team)
    return accepted(request, journal(request._request, link, number), QUEUED_SECONDS)


@api_view(["GET"])
@authentication_classes([SignedSession])
def ticket(request: Request, ticket_id: UUID) -> HttpResponse:
    """Say to the ticket's own browser that it is queued. See emergency.ticket for the others."""
    if was_given_here(request._request, ticket_id):
        return queued()
    if request.user:
        return nothing_left(request._request)
    raise Http404("no such ticket")


def nothing_left(request: HttpRequest) -> JsonResponse:
    """Answer 503: nothing was accepted, and trying again is all that is left."""
    body: dict[str, Any] = {
        "success": False,
        "error": _("We cannot take requests just now. Try again in a moment."),
        "code": "unavailable",
        "retryAfter": RETRY_AFTER,
    }
    return JsonResponse(body, status=503, headers={"Retry-After": str(RETRY_AFTER)})
