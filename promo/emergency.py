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
from accounts.sessions import (
    PHONE_KEY,
    SESSION_ID_KEY,
    account_phone,
    browser_of,
    remembered_account,
)
from guests import snapshots
from guests.errors import GuestError
from guests.journal import Entry, JournalError, the_journal
from guests.models import Event, GuestRequest
from guests.services import check_list_takes_requests
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
    seen = (snapshot.event for snapshot in snapshots.recall_all())
    known = [event for event in seen if event.list_state() != "closed"]
    return show_events(request, known, {})


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
        return _journal(request, link, number)
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
    return _journal(request, link, number)


def register(request: HttpRequest, event: str, promoter: str) -> HttpResponse:
    link = _recall_link(event, promoter)
    number = request.session.get(PHONE_KEY)
    if not number:
        return go(request, link, "phone", {"form": PhoneForm()})
    form = RegisterForm(request.POST or None)
    if request.method == "GET" or not form.is_valid():
        return show_step(request, link, "register", {"form": form, "phone": readable_phone(number)})
    return _journal(request, link, number, **form.cleaned_data)


def request_access(request: HttpRequest, event: str, promoter: str) -> HttpResponse:
    link = _recall_link(event, promoter)
    number = account_phone(request)
    if not number:
        return go(request, link, "phone", {"form": PhoneForm()})
    return _journal(request, link, number)


def ticket(request: HttpRequest, event: str, ticket_id: UUID) -> HttpResponse:
    """Say to the ticket's own browser that it is queued.

    Only the database knows other tickets and their owners. Signed-in visitors get a 503 for them.
    """
    if not was_given_here(request, ticket_id):
        if request.user.is_authenticated:
            answer = unavailable(request)
            # A page without JavaScript asks again by itself.
            answer["Refresh"] = answer["Retry-After"]
            return answer
        raise Http404("no such ticket")
    link = _recall_link(event, "")
    return show_ticket(request, queued(link.event, str(ticket_id)), wait=QUEUED_SECONDS)


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
    if snapshot is None:
        raise JournalError("the event was never seen here")
    try:
        return PromoLink(snapshot.event, *snapshot.find_promoter(code=promoter))
    except GuestError as error:
        raise Http404("no such promoter at this event") from error


def _journal(
    request: HttpRequest, link: PromoLink, number: str, **registration: str
) -> HttpResponse:
    try:
        ticket = journal(request, link, number, **registration)
    except GuestError as error:
        return show_step(request, link, "unavailable", {"refusal": error.code}, status=409)
    return show_ticket(request, ticket, wait=QUEUED_SECONDS, status=202)


def journal(request: HttpRequest, link: PromoLink, number: str, **registration: str) -> Ticket:
    """Write a request for the phone into the journal, and return its ticket once it is synced.

    Raises GuestError when the list takes no requests, and JournalError: then nothing was accepted.
    """
    check_list_takes_requests(link.event)
    account = remembered_account(request)
    is_own = account is not None and number == account_phone(request)
    accepted = the_journal().accept(
        Entry(
            event_id=link.event.pk,
            event_slug=link.event.slug,
            phone=number,
            promoter_id=link.promoter.pk if link.promoter else None,
            team_id=link.team.pk if link.team else None,
            account_id=account.pk if account and is_own else None,
            session_hash=request.session.get(HASH_SESSION_KEY, "") if is_own else "",
            session_id=request.session.get(SESSION_ID_KEY, "") if is_own else "",
            browser=browser_of(request),
            language=get_language() or "",
            **registration,
        )
    )
    log.warning("guest_request_journalled", extra={"ticket_id": accepted})
    tickets = [each for each in request.session.get(TICKETS_KEY, []) if each != accepted]
    request.session[TICKETS_KEY] = [*tickets, accepted][-MOST_TICKETS:]
    return queued(link.event, accepted)


def queued(event: Event, ticket_id: str) -> Ticket:
    """Return the ticket of a request in the journal: queued, and never called confirmed."""
    return _ticket(event, ticket_id, "queued")


def sent_by_email(request: GuestRequest) -> Ticket:
    """Return what whoever cannot prove the account is told of its request: nothing of the guest."""
    return _ticket(request.event, str(request.ticket_id), "by_email")


def _ticket(event: Event, ticket_id: str, state: str) -> Ticket:
    return Ticket(
        ticket_id=ticket_id,
        state=state,
        event_slug=event.slug,
        event_title=event.title,
        venue=event.venue,
        time_zone=event.time_zone,
        starts_at=event.starts_at.isoformat(),
        name="",
    )
