"""The same screens while the database is away: requests go to the journal on this host's disk.

Nobody is told more than that the request is queued. Who has a session is known by its signature; a
phone that cannot be looked up is journalled, and its QR goes only to the account's own email.
"""

import logging
from collections.abc import Callable
from functools import wraps
from typing import Concatenate, ParamSpec, cast
from uuid import UUID

from django.contrib.auth import HASH_SESSION_KEY
from django.contrib.auth.models import AnonymousUser
from django.http import Http404, HttpRequest, HttpResponse
from django.utils.translation import get_language

from accounts.forms import CodeForm, PhoneForm, RegisterForm
from accounts.phones import readable_phone
from accounts.sessions import PHONE_KEY, account_phone, browser_of, remembered_account
from guests import snapshots
from guests.errors import GuestError
from guests.intake import Registration, SignedSession, accept_request, queued_ticket
from guests.journal import JournalError
from guests.tickets import Ticket
from snap.database import DatabaseAwayError, asking
from snap.errors import unavailable

from .answers import (
    go,
    show_event,
    show_events,
    show_step,
    show_ticket,
)
from .links import PromoLink

log = logging.getLogger(__name__)

P = ParamSpec("P")
View = Callable[Concatenate[HttpRequest, P], HttpResponse]

TICKETS_KEY = "tickets"
MOST_TICKETS = 20
# Seconds that people are told: "2-5 minutes".
QUEUED_SECONDS = 300


def or_in_emergency(
    emergency_view: View[P], nothing_left: Callable[[HttpRequest], HttpResponse] = unavailable
) -> Callable[[View[P]], View[P]]:
    """Have another view answer while the database is away, and a 503 when that cannot either."""

    def decorate(view: View[P]) -> View[P]:
        @wraps(view)
        def choose(request: HttpRequest, *args: P.args, **kwargs: P.kwargs) -> HttpResponse:
            try:
                with asking():
                    return view(request, *args, **kwargs)
            except DatabaseAwayError:
                log.warning("emergency", extra={"view": view.__name__})
            # Whoever it was, nothing below may look them up.
            request.user = remembered_account(request) or AnonymousUser()  # type: ignore[assignment]
            try:
                return emergency_view(request, *args, **kwargs)
            except JournalError:
                log.exception("journal_failed")
                return nothing_left(request)

        return cast("View[P]", choose)

    return decorate


def events(request: HttpRequest) -> HttpResponse:
    return show_events(request, snapshots.listed(), {})


def event(request: HttpRequest, event: str, promoter: str = "") -> HttpResponse:
    link = _recall_link(event, promoter)
    return show_event(request, link, {})


def phone(request: HttpRequest, event: str, promoter: str) -> HttpResponse:
    """Ask everybody to register: whether the phone is known shows when the entry is drained."""
    link = _recall_link(event, promoter)
    form = PhoneForm(request.POST or None)
    if request.method == "GET" or not form.is_valid():
        return show_step(request, link, "phone", {"form": form})
    number = form.cleaned_data["phone"]
    request.session[PHONE_KEY] = number
    if number == account_phone(request):
        return _accept(request, link, number)
    return go(request, link, "register", {"form": RegisterForm(), "phone": readable_phone(number)})


def code(request: HttpRequest, event: str, promoter: str) -> HttpResponse:
    """A code was sent, so the phone has an account: its request needs nothing more."""
    link = _recall_link(event, promoter)
    number = request.session.get(PHONE_KEY)
    if not number:
        return go(request, link, "phone", {"form": PhoneForm()})
    if request.method == "GET":
        context = {"form": CodeForm(), "phone": readable_phone(number)}
        return show_step(request, link, "code", context)
    return _accept(request, link, number)


def register(request: HttpRequest, event: str, promoter: str) -> HttpResponse:
    link = _recall_link(event, promoter)
    number = request.session.get(PHONE_KEY)
    if not number:
        return go(request, link, "phone", {"form": PhoneForm()})
    form = RegisterForm(request.POST or None)
    if request.method == "GET" or not form.is_valid():
        return show_step(request, link, "register", {"form": form, "phone": readable_phone(number)})
    return _accept(request, link, number, Registration(**form.cleaned_data))


def request_access(request: HttpRequest, event: str, promoter: str) -> HttpResponse:
    link = _recall_link(event, promoter)
    number = account_phone(request)
    if not number:
        return go(request, link, "phone", {"form": PhoneForm()})
    return _accept(request, link, number)


def ticket(request: HttpRequest, event: str, ticket_id: UUID) -> HttpResponse:
    """Say that the ticket is queued, to whom it was given here or who is signed in."""
    if not was_given_here(request, ticket_id) and not request.user.is_authenticated:
        raise Http404("no such ticket")
    link = _recall_link(event, "")
    return show_ticket(request, queued_ticket(link.event, str(ticket_id)), wait=QUEUED_SECONDS)


def calendar(request: HttpRequest, event: str) -> HttpResponse:
    return unavailable(request)


def no_codes(request: HttpRequest, event: str, promoter: str) -> HttpResponse:
    """Without the database nobody can prove anything, and no code goes out."""
    return unavailable(request)


def was_given_here(request: HttpRequest, ticket_id: UUID) -> bool:
    """Say whether this browser was given the ticket in an emergency."""
    return str(ticket_id) in request.session.get(TICKETS_KEY, [])


def _recall_link(event: str, promoter: str) -> PromoLink:
    """Return what a promo link led to when this host last saw it. Raises Http404, JournalError."""
    snapshot = snapshots.recall(event)
    try:
        return PromoLink(snapshot.event, *snapshot.find_promoter(code=promoter))
    except GuestError as error:
        raise Http404("no such promoter at this event") from error


def _accept(
    request: HttpRequest, link: PromoLink, number: str, registration: Registration | None = None
) -> HttpResponse:
    try:
        ticket = accept(request, link, number, registration=registration)
    except GuestError as error:
        return show_step(request, link, "unavailable", {"refusal": error.code}, status=409)
    return show_ticket(request, ticket, wait=QUEUED_SECONDS, status=202)


def accept(
    request: HttpRequest,
    link: PromoLink,
    number: str,
    *,
    registration: Registration | None = None,
    name: str = "",
    idempotency_key: str = "",
) -> Ticket:
    """Have a request for the phone journalled, and the ticket remembered by this browser.

    Raises what `accept_request` raises.
    """
    ticket = accept_request(
        link.event,
        phone=number,
        browser=browser_of(request),
        language=get_language() or "",
        promoter=link.promoter,
        team=link.team,
        session=_session_of(request, number),
        registration=registration,
        name=name,
        idempotency_key=idempotency_key,
    )
    tickets = [each for each in request.session.get(TICKETS_KEY, []) if each != ticket.ticket_id]
    request.session[TICKETS_KEY] = [*tickets, ticket.ticket_id][-MOST_TICKETS:]
    return ticket


def _session_of(request: HttpRequest, number: str) -> SignedSession | None:
    """Return the session, if it says that it is signed in as the account with this phone."""
    account = remembered_account(request)
    if account is None or number != account_phone(request):
        return None
    return SignedSession(account.pk, request.session.get(HASH_SESSION_KEY, ""))
