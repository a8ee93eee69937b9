"""The same screens while the database is away: requests go to the journal on this host's disk.

A request is called queued, never confirmed. A session is known by its signature, and its account's
place by this host's mirror. A phone that cannot be looked up is journalled, and its QR goes only to
the account's own email.
"""

import logging
from collections.abc import Callable
from functools import wraps
from typing import Any, Concatenate, ParamSpec, cast
from uuid import UUID

from django.contrib.auth.models import AnonymousUser
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.translation import get_language

from accounts.forms import CodeForm, PhoneForm, RegisterForm
from accounts.sessions import (
    BROWSER_KEY,
    TICKETS_KEY,
    RememberedAccount,
    account_phone,
    end_session,
    ensure_browser_id,
)
from guests.emergency import snapshots
from guests.emergency.access import end_session_on_this_host, known_account
from guests.emergency.intake import (
    AccountSession,
    Registration,
    accept_request,
    find_journalled_ticket,
    queued_ticket,
)
from guests.emergency.journal import JournalError
from guests.emergency.mirror import get_mirror
from guests.exceptions import GuestError
from guests.models import Event
from guests.requests.tickets import Ticket, ticket_sent_by_email
from promo.links import PromoLink
from promo.rendering import (
    next_step,
    render_calendar,
    render_event,
    render_events,
    render_step,
    render_ticket,
    restart_steps,
    ticket_context,
)
from promo.steps import step_phone
from snap.error_pages import unavailable
from snap.resilience.database import DatabaseAwayError, guarded_database

log = logging.getLogger(__name__)

P = ParamSpec("P")
View = Callable[Concatenate[HttpRequest, P], HttpResponse]

MOST_TICKETS = 20
# Seconds that people are told: "2-5 minutes".
QUEUED_SECONDS = 300


def emergency_fallback(
    emergency_view: View[P],
) -> Callable[[View[P]], View[P]]:
    """Have another view answer while the database is away, and a 503 when that cannot either."""

    def decorate(view: View[P]) -> View[P]:
        @wraps(view)
        def choose(request: HttpRequest, *args: P.args, **kwargs: P.kwargs) -> HttpResponse:
            try:
                with guarded_database():
                    return view(request, *args, **kwargs)
            except DatabaseAwayError:
                log.warning("emergency", extra={"view": view.__name__})
            # Nothing below may look the account up.
            request.user = known_account(request) or AnonymousUser()  # type: ignore[assignment]
            try:
                return emergency_view(request, *args, **kwargs)
            except JournalError:
                log.exception("journal_failed")
                return unavailable(request)

        return cast("View[P]", choose)

    return decorate


def events(request: HttpRequest) -> HttpResponse:
    account = _account(request)
    places = get_mirror().places_of(account.pk) if account else {}
    return render_events(request, snapshots.load_listed_events(), places)


def event(request: HttpRequest, event: str, promoter: str = "") -> HttpResponse:
    """Show an event, and the place that the account had on its list when that was last known."""
    link = _recall_link(event, promoter)
    account = _account(request)
    held = get_mirror().find_latest_ticket(link.event.pk, account.pk) if account else None
    if held is None or not held.belongs_to(account):
        return render_event(request, link, {})
    context = ticket_context(held.to_ticket(), wait=QUEUED_SECONDS, host=request.get_host())
    return render_event(request, link, context)


def phone(request: HttpRequest, event: str, promoter: str) -> HttpResponse:
    """Ask everybody to register: whether the phone is known shows when the entry is drained."""
    link = _recall_link(event, promoter)
    form = PhoneForm(request.POST or None)
    if request.method == "GET" or not form.is_valid():
        return render_step(request, link, "phone", {"form": form})
    number = form.cleaned_data["phone"]
    if number == _own_phone(request):
        return _accept(request, link, number)
    return next_step(request, link, "register", {"form": RegisterForm()}, phone=number)


def code(request: HttpRequest, event: str, promoter: str) -> HttpResponse:
    """A code was sent, so the phone has an account: its request needs nothing more."""
    link = _recall_link(event, promoter)
    number = step_phone(request)
    if not number:
        return restart_steps(request, link)
    if request.method == "GET":
        return render_step(request, link, "code", {"form": CodeForm()}, phone=number)
    return _accept(request, link, number)


def register(request: HttpRequest, event: str, promoter: str) -> HttpResponse:
    link = _recall_link(event, promoter)
    number = step_phone(request)
    if not number:
        return restart_steps(request, link)
    form = RegisterForm(request.POST or None)
    if request.method == "GET" or not form.is_valid():
        return render_step(request, link, "register", {"form": form}, phone=number)
    return _accept(request, link, number, Registration(**form.cleaned_data))


def request_access(request: HttpRequest, event: str, promoter: str) -> HttpResponse:
    link = _recall_link(event, promoter)
    number = _own_phone(request)
    if not number:
        return next_step(request, link, "phone", {"form": PhoneForm()})
    return _accept(request, link, number)


def ticket(request: HttpRequest, event: str, ticket_id: UUID) -> HttpResponse:
    """Show a ticket to its own browser and account."""
    link = _recall_link(event, "")
    found = find_ticket(request, ticket_id, link.event)
    if found is None and was_given_here(request, ticket_id):
        # Another host has it in its journal.
        found = queued_ticket(link.event, str(ticket_id))
    if found is None:
        response = unavailable(request)
        # A page without JavaScript asks again by itself.
        response["Refresh"] = response["Retry-After"]
        return response
    return render_ticket(request, found, wait=QUEUED_SECONDS)


def find_ticket(request: HttpRequest, ticket_id: UUID, event: Event | None = None) -> Ticket | None:
    """Return what this host knows of a ticket, None when that is nothing: it may be theirs.

    As it was before the outage, to the session of its account and the browser that registered it;
    what the journal knows, to the browser that was given the ticket. Raises Http404 for everybody
    else, and for a ticket of another event than `event`; JournalError.
    """
    known = get_mirror().find_ticket(ticket_id)
    given_here = was_given_here(request, ticket_id)
    account = _account(request)
    if known and (event is None or known.request.event_id == event.pk):
        if known.belongs_to(account):
            return known.to_ticket()
        if given_here and known.belongs_to_browser(request.session.get(BROWSER_KEY, "")):
            return known.to_ticket()
        if given_here:
            return ticket_sent_by_email(known.request)
    elif known is None and (kept := find_journalled_ticket(ticket_id, event)):
        if given_here or (account and kept.account_id == account.pk):
            return kept.ticket
    elif known is None and (given_here or account):
        return None
    raise Http404("no such ticket")


def calendar(request: HttpRequest, event: str) -> HttpResponse:
    return render_calendar(request, _recall_link(event, ""))


def sign_out(request: HttpRequest) -> HttpResponse:
    """End the session on this host, and on the others once the database is back."""
    is_kept = True
    try:
        end_session_on_this_host(request)
    except JournalError:
        log.exception("sign_out_not_kept")
        is_kept = False
    end_session(request, None)
    return render(request, "promo/signed_out.html", {"is_kept": is_kept})


def no_codes(request: HttpRequest, event: str, promoter: str) -> HttpResponse:
    """Without the database nobody can prove anything, and no code goes out."""
    return unavailable(request)


def no_claims(request: HttpRequest, event: str, promoter: str, claim_id: int) -> HttpResponse:
    return unavailable(request)


def was_given_here(request: HttpRequest, ticket_id: UUID) -> bool:
    """Say whether this browser was given the ticket in an emergency."""
    return was_given_to(request.session, ticket_id)


def was_given_to(session: Any, ticket_id: UUID) -> bool:
    """Say whether the browser of a session was given the ticket in an emergency."""
    return str(ticket_id) in session.get(TICKETS_KEY, [])


def _recall_link(event: str, promoter: str) -> PromoLink:
    """Return what a promo link led to when this host last saw it. Raises Http404, JournalError."""
    snapshot = snapshots.load_event(event)
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
        return render_step(request, link, "unavailable", {"refusal": error.code})
    return render_ticket(request, ticket, wait=QUEUED_SECONDS, status=202)


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
        browser=ensure_browser_id(request),
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


def _session_of(request: HttpRequest, number: str) -> AccountSession | None:
    """Return the session, if it says that it is signed in as the account with this phone."""
    account = _account(request)
    if account is None or number != _own_phone(request):
        return None
    return AccountSession(account.pk, account.session_hash, account.session_id)


def _account(request: HttpRequest) -> RememberedAccount | None:
    """Return the account that `or_in_emergency` has found in the session."""
    return request.user if isinstance(request.user, RememberedAccount) else None


def _own_phone(request: HttpRequest) -> str:
    return account_phone(request) if _account(request) else ""
