"""The guest's way, screen by screen: ordinary pages and forms, and with HTMX their partials."""

from functools import partial
from typing import Any
from uuid import UUID

from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils.translation import get_language
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from accounts.exceptions import AccountError
from accounts.forms import CodeForm, PhoneForm, RegisterForm
from accounts.login_codes import latest_code, send_login_code
from accounts.models import LoginCode, User
from accounts.phone_checks import check_phone
from accounts.services import find_account
from accounts.services import register as register_account
from accounts.sessions import account_of, end_session, ensure_browser_id, sign_in
from accounts.suspicious import note_suspicious
from guests.claims.proof import prove_by_code
from guests.emergency.intake import queued_ticket
from guests.emergency.snapshots import save_event
from guests.exceptions import GuestError
from guests.models import Event, GuestRequest
from guests.requests.accepting import (
    check_list_takes_requests,
    join_line,
    latest_request,
    places_of,
    request_place,
    wake_guests_worker,
)
from guests.requests.creating import create_guest_now, create_guest_while_waiting
from guests.requests.tickets import seconds_left, ticket_of
from promo import emergency
from promo.emergency import emergency_fallback
from promo.limits.challenge import send_or_spend_pass
from promo.limits.policies import CODE, PHONE_CHECK, PROVE, REGISTER, TICKET
from promo.limits.responses import render_too_many
from promo.links import PromoLink, open_link
from promo.refusals import refusal_text
from promo.rendering import (
    RESTARTED,
    is_htmx,
    next_step,
    render_calendar,
    render_event,
    render_events,
    render_step,
    render_ticket,
    restart_steps,
    ticket_context,
)
from promo.steps import remember_phone, step_phone
from promo.ticket_access import TicketAccess, find_ticket
from snap.addresses import client_address
from snap.limits.policy import CREATE, PAGES, limited

# Why a list takes nobody any more, though some are on it.
SOME_CAME_IN_TIME = {"closed", "list_full"}


@limited(read=PAGES)
@require_safe
@emergency_fallback(emergency.events)
def events(request: HttpRequest) -> HttpResponse:
    account = account_of(request)
    places = places_of(account) if account else {}
    return render_events(request, Event.objects.listed().at_database_time(), places)


@limited(read=PAGES)
@never_cache
@require_safe
@emergency_fallback(emergency.event)
def event(request: HttpRequest, event: str, promoter: str = "") -> HttpResponse:
    """Show an event, and the place on its list of whoever is signed in."""
    link = open_link(event, promoter)
    save_event(link.event)
    account = account_of(request)
    held = latest_request(link.event, account) if account else None
    if held is None:
        return render_event(request, link, {})
    ticket = ticket_context(ticket_of(held), wait=seconds_left(held), host=request.get_host())
    return render_event(request, link, ticket)


@limited(read=PAGES, write=PHONE_CHECK)
@never_cache
@require_http_methods(["GET", "POST"])
@emergency_fallback(emergency.phone)
def phone(request: HttpRequest, event: str, promoter: str) -> HttpResponse:
    """Ask for the phone: a known one leads to a code, an unknown one to registration.

    Once the list is full or closed the code is still sent: who came in time is on it.
    """
    link = open_link(event, promoter)
    refusal = _refusal_of_list(link)
    if refusal and refusal not in SOME_CAME_IN_TIME:
        return render_step(request, link, "unavailable", {"refusal": refusal})
    form = PhoneForm(request.POST or None)
    if request.method == "GET" or not form.is_valid():
        is_restarted = request.method == "GET" and RESTARTED in request.GET
        return render_step(request, link, "phone", {"form": form, "begins_again": is_restarted})
    number = form.cleaned_data["phone"]
    account = account_of(request)
    if account and account.phone == number:
        return _request_access(request, link, account)
    known = find_account(number) if check_phone(number).exists else None
    if known:
        return _send_code(request, link, known)
    if refusal:
        return render_step(request, link, "unavailable", {"refusal": refusal}, phone=number)
    return next_step(request, link, "register", {"form": RegisterForm()}, phone=number)


@limited(read=PAGES, write=CODE)
@never_cache
@require_http_methods(["GET", "POST"])
@emergency_fallback(emergency.code)
def code(request: HttpRequest, event: str, promoter: str) -> HttpResponse:
    """Take the one-time code, sign in and request access in the same round trip."""
    link = open_link(event, promoter)
    number = step_phone(request)
    if not number:
        return restart_steps(request, link)
    if (account := _sent_again(request, number)) and account.verified_at:
        return _request_access(request, link, account)
    if "resend" in request.POST and (known := find_account(number)):
        return _send_code(request, link, known)
    form = CodeForm(request.POST or None)
    context = {"form": form, **_about_code(request, number)}
    if request.method == "GET" or not form.is_valid():
        return render_step(request, link, "code", context, phone=number)
    try:
        account = prove_by_code(
            phone=number,
            browser=ensure_browser_id(request),
            typed=form.cleaned_data["code"],
            address=client_address(request),
        )
    except AccountError as error:
        if error.code == "claim_waits":
            return redirect(
                link.step_url("claim") + remember_phone(request, link.event.slug, number)
            )
        form.add_error("code", refusal_text(error.code))
        return render_step(request, link, "code", context, phone=number)
    sign_in(request, account)
    return _request_access(request, link, account)


@limited(read=PAGES, write=REGISTER)
@never_cache
@require_http_methods(["GET", "POST"])
@emergency_fallback(emergency.register)
def register(request: HttpRequest, event: str, promoter: str) -> HttpResponse:
    """Take the names and email of an unknown phone; account and request are made together."""
    link = open_link(event, promoter)
    number = step_phone(request)
    if not number:
        return restart_steps(request, link)
    if account := _sent_again(request, number):
        return _request_access(request, link, account)
    form = RegisterForm(request.POST or None)
    if request.method == "GET" or not form.is_valid():
        return render_step(request, link, "register", {"form": form}, phone=number)
    try:
        due_in = join_line(link.event)
        with transaction.atomic():
            account = register_account(
                phone=number,
                first_name=form.cleaned_data["first_name"],
                last_name=form.cleaned_data["last_name"],
                email=form.cleaned_data["email"],
                language=get_language() or "",
                browser=ensure_browser_id(request),
            )
            stored = _request_place(link, account, account_is_new=True, due_in=due_in)
    except AccountError as error:
        known = find_account(number)
        if error.code == "phone_taken" and known:
            return _send_code(request, link, known)
        if error.code == "email_taken":
            form.add_error("email", refusal_text(error.code))
            return render_step(request, link, "register", {"form": form}, phone=number)
        note_suspicious("blocked_phone", phone=number, address=client_address(request))
        return render_step(request, link, "unavailable", {"refusal": error.code})
    except GuestError as error:
        return render_step(request, link, "unavailable", {"refusal": error.code})
    sign_in(request, account)
    return _show(request, stored)


@limited(read=PAGES, write=PROVE)
@never_cache
@require_http_methods(["GET", "POST"])
@emergency_fallback(emergency.no_codes)
def prove(request: HttpRequest, event: str, promoter: str) -> HttpResponse:
    """Send a code to whoever is signed in, for an event that asks for a proof before the QR."""
    link = open_link(event, promoter)
    account = account_of(request)
    if account is None or account.phone is None:
        return next_step(request, link, "phone", {"form": PhoneForm()})
    if account.verified_at:
        return redirect(link.url)
    if request.method == "GET":
        return render_step(request, link, "prove", {}, phone=account.phone)
    if step_phone(request) != account.phone:
        return restart_steps(request, link)
    return _send_code(request, link, account)


@limited(read=PAGES, write=CREATE)
@never_cache
@require_http_methods(["GET", "POST"])
@emergency_fallback(emergency.request_access)
def request_access(request: HttpRequest, event: str, promoter: str) -> HttpResponse:
    """One tap for whoever is signed in; a reloaded answer leads back to the event."""
    link = open_link(event, promoter)
    if request.method == "GET":
        return redirect(link.url)
    account = account_of(request)
    if account is None:
        return next_step(request, link, "phone", {"form": PhoneForm()})
    return _request_access(request, link, account)


@limited(read=TICKET)
@never_cache
@require_safe
@emergency_fallback(emergency.ticket)
def ticket(request: HttpRequest, event: str, ticket_id: UUID) -> HttpResponse:
    """Show the present state of a ticket to its owner; pages poll this.

    A browser that registered in an emergency has its account back here, unless another account is
    signed in. One that asked for a phone
    whose account it cannot prove only learns that the answer went to that account's email.
    """
    found = find_ticket(ticket_id, request.session)
    if found.access is TicketAccess.NOTHING and account_of(request) is None:
        return redirect("promo:event", event)
    if found.access is TicketAccess.NOTHING or (found.ticket and found.ticket.event_slug != event):
        raise Http404("no such ticket")
    if found.access is TicketAccess.BROWSER and found.stored and account_of(request) is None:
        sign_in(request, found.stored.account)
    # The journal alone has it between the database's return and the draining.
    ticket = found.ticket or queued_ticket(open_link(event, "").event, str(ticket_id))
    return render_ticket(request, ticket, wait=found.wait)


@limited(write=PAGES)
@require_POST
@emergency_fallback(emergency.sign_out)
def sign_out(request: HttpRequest) -> HttpResponse:
    """End this session, wherever its cookie was copied."""
    end_session(request, account_of(request))
    return redirect("promo:events")


@limited(read=PAGES)
@require_safe
@emergency_fallback(emergency.calendar)
def calendar(request: HttpRequest, event: str) -> HttpResponse:
    return render_calendar(request, open_link(event, ""))


def _refusal_of_list(link: PromoLink) -> str:
    try:
        check_list_takes_requests(link.event)
    except GuestError as error:
        return error.code
    return ""


def _sent_again(request: HttpRequest, phone: str) -> User | None:
    """Return the account that a form has signed in already, which is now sent once more."""
    account = account_of(request)
    return account if request.method == "POST" and account and account.phone == phone else None


def _send_code(request: HttpRequest, link: PromoLink, account: User) -> HttpResponse:
    send = partial(
        send_login_code,
        account,
        browser=ensure_browser_id(request),
        address=client_address(request),
    )
    try:
        send_or_spend_pass(request, send)
    except AccountError as error:
        return _no_code(request, link, account, error)
    number = account.phone or ""
    context = {"form": CodeForm(), **_about_code(request, number)}
    return next_step(
        request, link, "code", context | {"resent": "resend" in request.POST}, phone=number
    )


def _no_code(
    request: HttpRequest, link: PromoLink, account: User, error: AccountError
) -> HttpResponse:
    if error.code != "too_many_codes":
        return render_step(request, link, "unavailable", {"refusal": error.code})
    if error.may_solve:
        return render_too_many(request, error.retry_after, "code")
    context: dict[str, Any] = {"retry_after": error.retry_after}
    if account.phone and account_of(request) is None:
        # Whoever waits because of a squatter has another way.
        context["claim_query"] = remember_phone(request, link.event.slug, account.phone)
    response = render_step(request, link, "too_many", context, status=429)
    response["Retry-After"] = str(error.retry_after)
    return response


def _about_code(request: HttpRequest, phone: str) -> dict[str, Any]:
    """Return what the code step says of the code, and whether its phone can be claimed here."""
    sent = latest_code(phone, ensure_browser_id(request))
    is_own = account_of(request) is not None
    return {
        "by_sms": sent is not None and sent.channel == LoginCode.Channel.SMS,
        "is_unproven": sent is not None and not sent.account.verified_at,
        "can_claim": sent is not None and not is_own,
    }


def _request_place(
    link: PromoLink,
    account: User,
    *,
    account_is_new: bool = False,
    due_in: float | None = None,
) -> GuestRequest:
    return request_place(
        link.event,
        account,
        promoter=link.promoter,
        team=link.team,
        account_is_new=account_is_new,
        due_in=due_in,
    )


def _request_access(request: HttpRequest, link: PromoLink, account: User) -> HttpResponse:
    try:
        stored = _request_place(link, account)
    except GuestError as error:
        return render_step(request, link, "unavailable", {"refusal": error.code})
    return _show(request, stored)


def _show(request: HttpRequest, stored: GuestRequest) -> HttpResponse:
    """Show the ticket of a request just made.

    It is ended here first where no worker can be woken, and for a browser without JavaScript, which
    no push reaches: its page would ask again only after two seconds.
    """
    if stored.state == GuestRequest.State.PENDING:
        if wake_guests_worker.is_failing():
            stored = create_guest_now(stored)
        elif not is_htmx(request):
            stored = create_guest_while_waiting(stored)
    return render_ticket(request, ticket_of(stored), wait=seconds_left(stored))
