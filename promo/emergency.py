"""Views that replace those of `promo/views.py` while the database is away.

`emergency_fallback` connects each view to the function of the same name here. Views that need the
database have `needs_database` instead. The functions show the same screens, but read events and
places from this host's disk and write requests into the journal there. The page calls such a
request queued, never confirmed.

The account of a session is taken from its signed cookie. Phones cannot be looked up, so a request
for any phone is journalled, and the QR code goes only to the email of the phone's account.
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
from guests.emergency.intake import (
    AccountSession,
    Registration,
    accept_request,
    find_journalled_ticket,
    queued_ticket,
)
from guests.emergency.journal import JournalError
from guests.emergency.mirror import get_mirror
from guests.emergency.sessions import end_session_on_this_host, known_account
from guests.exceptions import GuestError
from guests.models import Event
from guests.place_status import PlaceStatus
from guests.requests.tickets import Ticket, ticket_sent_by_email
from promo.kept_emails import remember_kept_email
from promo.links import PromoLink, log_unknown_promoter
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
from snap.resilience.database import DatabaseUnavailableError, guarded_database

log = logging.getLogger(__name__)

P = ParamSpec("P")
View = Callable[Concatenate[HttpRequest, P], HttpResponse]

# The most tickets that one browser's session holds. The oldest is dropped first.
MAX_TICKETS = 20
# The estimated wait for a queued request, in seconds. Pages say "2 to 5 minutes".
QUEUED_SECONDS = 300


def needs_database(view: View[P]) -> View[P]:
    """Return 503 while the database is away."""

    @wraps(view)
    def guarded(request: HttpRequest, *args: P.args, **kwargs: P.kwargs) -> HttpResponse:
        try:
            with guarded_database():
                return view(request, *args, **kwargs)
        except DatabaseUnavailableError as error:
            log.warning("emergency_view_used", extra={"view": view.__name__})
            return unavailable(request, is_unsure=error.was_asked)

    return cast("View[P]", guarded)


def emergency_fallback(emergency_view: View[P]) -> Callable[[View[P]], View[P]]:
    """Run `emergency_view` while the database is away. Return 503 when the journal fails, too."""

    def decorate(view: View[P]) -> View[P]:
        @wraps(view)
        def choose(request: HttpRequest, *args: P.args, **kwargs: P.kwargs) -> HttpResponse:
            try:
                with guarded_database():
                    return view(request, *args, **kwargs)
            except DatabaseUnavailableError as error:
                log.warning("emergency_view_used", extra={"view": view.__name__})
                is_unsure = error.was_asked
            # Replace the lazy user, which would query the database.
            request.user = known_account(request.session) or AnonymousUser()  # type: ignore[assignment]
            try:
                return emergency_view(request, *args, **kwargs)
            except JournalError:
                log.exception("journal_failed")
                return unavailable(request, is_unsure=is_unsure)

        return cast("View[P]", choose)

    return decorate


def events(request: HttpRequest) -> HttpResponse:
    places: dict[int, PlaceStatus] = {}
    account = _account(request)
    if account is not None:
        places = get_mirror().places_of(account.pk)
    return render_events(request, snapshots.load_listed_events(), places)


def event(request: HttpRequest, event: str, promoter: str = "") -> HttpResponse:
    """Show an event, and the account's ticket for it as this host has last seen it."""
    link = _load_link(event, promoter)
    mirrored = None
    account = _account(request)
    if account is not None:
        mirrored = get_mirror().find_latest_ticket(link.event.pk, account.pk)
    if mirrored is None or not mirrored.belongs_to(account):
        return render_event(request, link, {})
    context = ticket_context(mirrored.to_ticket(), wait=QUEUED_SECONDS, host=request.get_host())
    return render_event(request, link, context)


def phone(request: HttpRequest, event: str, promoter: str) -> HttpResponse:
    """Ask for the phone. Every phone leads to registration: accounts cannot be looked up.

    When the entry is drained, a request for a known phone is attributed to its account.
    """
    link = _load_link(event, promoter)
    form = PhoneForm(request.POST or None)
    if request.method == "GET" or not form.is_valid():
        return render_step(request, link, "phone", {"form": form})
    number = form.cleaned_data["phone"]
    if number == _own_phone(request):
        return _queue_and_render(request, link, number)
    return next_step(request, link, "register", {"form": RegisterForm()}, phone=number)


def code(request: HttpRequest, event: str, promoter: str) -> HttpResponse:
    """Queue a request for the phone of the code step. The code itself is not checked.

    Codes are sent only to phones with an account, so the request needs no registration, and its QR
    code goes only to the email of that account.
    """
    link = _load_link(event, promoter)
    number = step_phone(request)
    if not number:
        return restart_steps(request, link)
    if request.method == "GET":
        return render_step(request, link, "code", {"form": CodeForm()}, phone=number)
    return _queue_and_render(request, link, number)


def register(request: HttpRequest, event: str, promoter: str) -> HttpResponse:
    link = _load_link(event, promoter)
    number = step_phone(request)
    if not number:
        return restart_steps(request, link)
    form = RegisterForm(request.POST or None)
    if request.method == "GET" or not form.is_valid():
        return render_step(request, link, "register", {"form": form}, phone=number)
    remember_kept_email(request, form.cleaned_data["email"])
    return _queue_and_render(request, link, number, Registration(**form.cleaned_data))


def request_access(request: HttpRequest, event: str, promoter: str) -> HttpResponse:
    link = _load_link(event, promoter)
    number = _own_phone(request)
    if not number:
        return next_step(request, link, "phone", {"form": PhoneForm()})
    return _queue_and_render(request, link, number)


def ticket(request: HttpRequest, event: str, ticket_id: UUID) -> HttpResponse:
    """Show a ticket to its own browser and account. 503 when another host may know it."""
    link = _load_link(event, "")
    found = find_emergency_ticket(request, ticket_id, link.event)
    if found is None and browser_has_ticket(request, ticket_id):
        # The ticket is in the journal of another host.
        found = queued_ticket(link.event, str(ticket_id))
    if found is None:
        response = unavailable(request)
        # Browsers without JavaScript reload the page by themselves.
        response["Refresh"] = response["Retry-After"]
        return response
    return render_ticket(request, found, wait=QUEUED_SECONDS)


def find_emergency_ticket(
    request: HttpRequest, ticket_id: UUID, event: Event | None = None
) -> Ticket | None:
    """Return a ticket from this host's mirror or journal, None when it may be on another host.

    The session of its account and the browser that registered it see the ticket as it was before
    the outage. Another browser that was given the ticket sees what `ticket_sent_by_email` returns.

    Raises Http404 for all others and for a ticket of another event than `event`; JournalError.
    """
    mirrored = get_mirror().find_ticket(ticket_id)
    if mirrored is None:
        return _find_journalled_ticket(request, ticket_id, event)
    if event is not None and mirrored.request.event_id != event.pk:
        raise Http404("no such ticket")
    if mirrored.belongs_to(_account(request)):
        return mirrored.to_ticket()
    if not browser_has_ticket(request, ticket_id):
        raise Http404("no such ticket")
    if mirrored.belongs_to_browser(request.session.get(BROWSER_KEY, "")):
        return mirrored.to_ticket()
    return ticket_sent_by_email(mirrored.request)


def _find_journalled_ticket(
    request: HttpRequest, ticket_id: UUID, event: Event | None
) -> Ticket | None:
    has_ticket = browser_has_ticket(request, ticket_id)
    account = _account(request)
    journalled = find_journalled_ticket(ticket_id, event)
    if journalled is None:
        if has_ticket or account is not None:
            return None
        raise Http404("no such ticket")
    is_own = account is not None and journalled.account_id == account.pk
    if has_ticket or is_own:
        return journalled.ticket
    raise Http404("no such ticket")


def calendar(request: HttpRequest, event: str) -> HttpResponse:
    return render_calendar(request, _load_link(event, ""))


def sign_out(request: HttpRequest) -> HttpResponse:
    """End the session on this host now, and on other hosts when the database is back."""
    is_kept = True
    try:
        end_session_on_this_host(request.session)
    except JournalError:
        log.exception("sign_out_not_kept")
        is_kept = False
    end_session(request, None)
    return render(request, "promo/signed_out.html", {"is_kept": is_kept})


def browser_has_ticket(request: HttpRequest, ticket_id: UUID) -> bool:
    """Say whether this browser was given the ticket in an emergency."""
    return session_has_ticket(request.session, ticket_id)


def session_has_ticket(session: Any, ticket_id: UUID) -> bool:
    """Say whether the browser of a session was given the ticket in an emergency."""
    return str(ticket_id) in session.get(TICKETS_KEY, [])


def _load_link(event: str, promoter: str) -> PromoLink:
    """Return a promo link from this host's snapshot of its event, as `open_link` does.

    Raises JournalError.
    """
    snapshot = snapshots.load_event(event)
    try:
        return PromoLink(snapshot.event, *snapshot.find_promoter(code=promoter))
    except GuestError:
        log_unknown_promoter(event, promoter)
        return PromoLink(snapshot.event, None, None)


def _queue_and_render(
    request: HttpRequest, link: PromoLink, number: str, registration: Registration | None = None
) -> HttpResponse:
    try:
        ticket = journal_request(request, link, number, registration=registration)
    except GuestError as error:
        return render_step(request, link, "unavailable", {"refusal": error.code})
    return render_ticket(request, ticket, wait=QUEUED_SECONDS, status=202)


def journal_request(
    request: HttpRequest,
    link: PromoLink,
    number: str,
    *,
    registration: Registration | None = None,
    name: str = "",
    idempotency_key: str = "",
) -> Ticket:
    """Write a request for the phone (E.164) into the journal, and the ticket into the session.

    Raises the errors of `accept_request`.
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
    _remember_ticket(request, ticket.ticket_id)
    return ticket


def _remember_ticket(request: HttpRequest, ticket_id: str) -> None:
    tickets = list(request.session.get(TICKETS_KEY, []))
    if ticket_id in tickets:
        tickets.remove(ticket_id)
    tickets.append(ticket_id)
    request.session[TICKETS_KEY] = tickets[-MAX_TICKETS:]


def _session_of(request: HttpRequest, number: str) -> AccountSession | None:
    """Return the session when it is signed in to the account with this phone."""
    account = _account(request)
    if account is None or number != _own_phone(request):
        return None
    return AccountSession(account.pk, account.session_hash, account.session_id)


def _account(request: HttpRequest) -> RememberedAccount | None:
    """Return the account that `emergency_fallback` has read from the session."""
    if isinstance(request.user, RememberedAccount):
        return request.user
    return None


def _own_phone(request: HttpRequest) -> str:
    if _account(request) is None:
        return ""
    return account_phone(request)
