"""Views of the pages by which a guest requests a place, in the order in which a guest sees them.

Each is a page that works without JavaScript; HTMX gets the partial inside it. While the database is
away, a function of `promo/emergency.py` runs in place of each view: see `emergency_fallback`.
"""

from functools import partial
from typing import Any
from uuid import UUID

from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils.translation import get_language
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from accounts.email_changes import usable_code
from accounts.exceptions import AccountError
from accounts.forms import CodeForm, PhoneForm, RegisterForm
from accounts.login_codes import latest_code, send_login_code
from accounts.mailboxes import masked_email
from accounts.models import LoginCode, User
from accounts.phone_checks import check_phone
from accounts.services import find_account
from accounts.services import register as register_account
from accounts.sessions import account_of, end_session, ensure_browser_id, sign_in
from accounts.sms import sms_channel_to
from accounts.suspicious import note_suspicious
from guests.claims.proof import prove_by_code
from guests.emergency.intake import queued_ticket
from guests.emergency.snapshots import save_event
from guests.exceptions import GuestError
from guests.models import Event, GuestRequest
from guests.place_status import PlaceStatus
from guests.refusals import refusal_text
from guests.requests.accepting import (
    check_list_and_reserve_turn,
    check_list_takes_requests,
    latest_request,
    places_of,
)
from guests.requests.deliveries import delivery_of_place
from guests.requests.tickets import seconds_left, ticket_of
from notifications.delivery_lines import NO_DELIVERY, Delivery
from promo import emergency
from promo.emergency import emergency_fallback, needs_database
from promo.kept_emails import remember_kept_email
from promo.limits.challenge import send_or_spend_exemption
from promo.limits.policies import CODE, PHONE_CHECK, PROVE, REGISTER, TICKET
from promo.limits.too_many import render_too_many
from promo.links import PromoLink, open_link
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
from promo.requesting import render_new_ticket, request_place_by_link, respond_with_place
from promo.steps import remember_phone, step_phone
from promo.ticket_access import TicketAccess, find_ticket
from promo.untidy_links import tidy_path
from snap.addresses import client_address
from snap.crawlers import indexable
from snap.limits.policy import CREATE, FOLLOWED_PAGES, PAGES, limited

# Refusals of a list that may have guests. They can still sign in and see their tickets.
REFUSALS_WITH_SIGN_IN = {"closed", "list_full"}


@limited(read=PAGES)
@indexable
@require_safe
@emergency_fallback(emergency.events)
def events(request: HttpRequest) -> HttpResponse:
    account = account_of(request)
    places: dict[int, PlaceStatus] = {}
    if account is not None:
        places = places_of(account)
    return render_events(request, Event.objects.listed().with_database_time(), places)


@limited(read=PAGES)
@never_cache
@require_safe
def untidy_link(request: HttpRequest, untidy: str) -> HttpResponse:
    """Redirect a promo link that is spelled in another way to its page, with its query.

    The redirect is temporary: browsers keep a permanent one for ever.
    """
    path = tidy_path(request.path_info)
    if path is None:
        raise Http404("no such page")
    query = request.META.get("QUERY_STRING", "")
    if query:
        path = f"{path}?{query}"
    return redirect(path)


@limited(read=FOLLOWED_PAGES)
@indexable
@never_cache
@require_safe
@emergency_fallback(emergency.event)
def event(request: HttpRequest, event: str, promoter: str = "") -> HttpResponse:
    """Show an event, and the ticket of the signed-in account for it."""
    link = open_link(event, promoter)
    save_event(link.event)
    stored = None
    account = account_of(request)
    if account is not None:
        stored = latest_request(link.event, account)
    if stored is None:
        return render_event(request, link, {})
    ticket = ticket_context(
        ticket_of(stored),
        wait=seconds_left(stored),
        host=request.get_host(),
        delivery=_delivery_of(stored),
    )
    return render_event(request, link, ticket)


@limited(read=PAGES, write=PHONE_CHECK)
@never_cache
@require_http_methods(["GET", "POST"])
@emergency_fallback(emergency.phone)
def phone(request: HttpRequest, event: str, promoter: str) -> HttpResponse:
    """Ask for the phone. A known phone leads to the code step, an unknown one to registration.

    When the list is full or closed, the code is still sent: the guests on it can sign in.
    """
    link = open_link(event, promoter)
    refusal = _list_refusal(link)
    if refusal and refusal not in REFUSALS_WITH_SIGN_IN:
        return render_step(request, link, "unavailable", {"refusal": refusal})
    form = PhoneForm(request.POST or None)
    if request.method == "GET" or not form.is_valid():
        is_restarted = request.method == "GET" and RESTARTED in request.GET
        return render_step(request, link, "phone", {"form": form, "is_restarted": is_restarted})
    number = form.cleaned_data["phone"]
    account = account_of(request)
    if account and account.phone == number:
        return respond_with_place(request, link, account)
    if check_phone(number).exists and (known := find_account(number)):
        return _send_code(request, link, known)
    if refusal:
        return render_step(request, link, "unavailable", {"refusal": refusal}, phone=number)
    return next_step(request, link, "register", {"form": RegisterForm()}, phone=number)


@limited(read=PAGES, write=CODE)
@never_cache
@require_http_methods(["GET", "POST"])
@emergency_fallback(emergency.code)
def code(request: HttpRequest, event: str, promoter: str) -> HttpResponse:
    """Check the one-time code, sign in and request a place in the same round trip."""
    link = open_link(event, promoter)
    number = step_phone(request)
    if not number:
        return restart_steps(request, link)
    account = _signed_in_with(request, number)
    if account and account.verified_at:
        # The form was sent before, or the link of the email has signed in.
        if request.method == "GET":
            return redirect(link.url)
        return respond_with_place(request, link, account)
    if "resend" in request.POST and (known := find_account(number)):
        return _send_code(request, link, known)
    form = CodeForm(request.POST or None)
    context = {"form": form, **_code_context(request, number)}
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
            query = remember_phone(request, link.event.slug, number)
            return redirect(link.claim_url + query)
        form.add_error("code", refusal_text(error.code))
        return render_step(request, link, "code", context, phone=number)
    sign_in(request, account)
    return respond_with_place(request, link, account)


@limited(read=PAGES, write=REGISTER)
@never_cache
@require_http_methods(["GET", "POST"])
@emergency_fallback(emergency.register)
def register(request: HttpRequest, event: str, promoter: str) -> HttpResponse:
    """Register an unknown phone with names and email. Account and request are made together."""
    link = open_link(event, promoter)
    number = step_phone(request)
    if not number:
        return restart_steps(request, link)
    account = _signed_in_with(request, number)
    if account and request.method == "POST":
        # The form was sent before.
        return respond_with_place(request, link, account)
    form = RegisterForm(request.POST or None)
    if request.method == "GET" or not form.is_valid():
        return render_step(request, link, "register", {"form": form}, phone=number)
    try:
        account, stored = _register_and_request(request, link, number, form)
    except AccountError as error:
        return _render_registration_refusal(request, link, number, form, error)
    except GuestError as error:
        return render_step(request, link, "unavailable", {"refusal": error.code})
    sign_in(request, account)
    remember_kept_email(request, account.email)
    return render_new_ticket(request, stored)


@limited(read=PAGES, write=PROVE)
@never_cache
@require_http_methods(["GET", "POST"])
@needs_database
def prove(request: HttpRequest, event: str, promoter: str) -> HttpResponse:
    """Send a code to the signed-in account, for an event that requires proof before the QR code."""
    link = open_link(event, promoter)
    account = account_of(request)
    if account is None or account.phone is None:
        return next_step(request, link, "phone", {"form": PhoneForm()})
    if account.verified_at:
        return redirect(link.url)
    if request.method == "GET":
        context = {"by_sms": sms_channel_to(account.phone) is not None}
        return render_step(request, link, "prove", context, phone=account.phone)
    if step_phone(request) != account.phone:
        return restart_steps(request, link)
    return _send_code(request, link, account)


@limited(read=PAGES, write=CREATE)
@never_cache
@require_http_methods(["GET", "POST"])
@emergency_fallback(emergency.request_access)
def request_access(request: HttpRequest, event: str, promoter: str) -> HttpResponse:
    """Request a place for the signed-in account. Reloading the response leads back to the event."""
    link = open_link(event, promoter)
    if request.method == "GET":
        return redirect(link.url)
    account = account_of(request)
    if account is None:
        return next_step(request, link, "phone", {"form": PhoneForm()})
    return respond_with_place(request, link, account)


@limited(read=TICKET)
@never_cache
@require_safe
@emergency_fallback(emergency.ticket)
def ticket(request: HttpRequest, event: str, ticket_id: UUID) -> HttpResponse:
    """Show the present state of a ticket to its owner. Pages poll this view.

    A browser that registered in an emergency is signed in to its account here, unless another
    account is signed in. A browser that cannot prove the account of its ticket learns only that the
    response went to the account's email.
    """
    found = find_ticket(ticket_id, request.session)
    if found.access is TicketAccess.NOTHING and account_of(request) is None:
        return redirect("promo:event", event)
    is_of_other_event = found.ticket is not None and found.ticket.event_slug != event
    if found.access is TicketAccess.NOTHING or is_of_other_event:
        raise Http404("no such ticket")
    if found.access is TicketAccess.BROWSER and found.stored and account_of(request) is None:
        sign_in(request, found.stored.account)
    # After an outage the ticket is only in the journal until the journal is drained.
    ticket = found.ticket or queued_ticket(open_link(event, "").event, str(ticket_id))
    delivery = NO_DELIVERY
    if not is_htmx(request) and found.access is not TicketAccess.GIVEN:
        delivery = _delivery_of(found.stored)
    return render_ticket(request, ticket, wait=found.wait, delivery=delivery)


@limited(write=PAGES)
@require_POST
@emergency_fallback(emergency.sign_out)
def sign_out(request: HttpRequest) -> HttpResponse:
    """End this session, also for copies of its cookie."""
    end_session(request, account_of(request))
    return redirect("promo:events")


@limited(read=PAGES)
@require_safe
@emergency_fallback(emergency.calendar)
def calendar(request: HttpRequest, event: str) -> HttpResponse:
    return render_calendar(request, open_link(event, ""))


def _delivery_of(stored: GuestRequest | None) -> Delivery:
    """Return what became of the email about a request's place. At most one query."""
    if stored is None or stored.guest is None:
        return NO_DELIVERY
    return delivery_of_place(stored.guest, stored.account, stored.event)


def _list_refusal(link: PromoLink) -> str:
    """Return the code of the reason why the list takes no requests, "" when it takes them."""
    try:
        check_list_takes_requests(link.event)
    except GuestError as error:
        return error.code
    return ""


def _signed_in_with(request: HttpRequest, phone: str) -> User | None:
    """Return the signed-in account if it has this phone."""
    account = account_of(request)
    if account is None or account.phone != phone:
        return None
    return account


def _register_and_request(
    request: HttpRequest, link: PromoLink, number: str, form: RegisterForm
) -> tuple[User, GuestRequest]:
    """Create the account and its request in one transaction. Raises AccountError, GuestError."""
    due_in = check_list_and_reserve_turn(link.event)
    with transaction.atomic():
        account = register_account(
            phone=number,
            first_name=form.cleaned_data["first_name"],
            last_name=form.cleaned_data["last_name"],
            email=form.cleaned_data["email"],
            language=get_language() or "",
            browser=ensure_browser_id(request),
        )
        stored = request_place_by_link(link, account, account_is_new=True, due_in=due_in)
    return account, stored


def _render_registration_refusal(
    request: HttpRequest, link: PromoLink, number: str, form: RegisterForm, error: AccountError
) -> HttpResponse:
    known = find_account(number)
    if error.code == "phone_taken" and known:
        return _send_code(request, link, known)
    if error.code == "email_taken":
        form.add_error("email", refusal_text(error.code))
        return render_step(request, link, "register", {"form": form}, phone=number)
    note_suspicious("blocked_phone", phone=number, address=client_address(request))
    return render_step(request, link, "unavailable", {"refusal": error.code})


def _send_code(request: HttpRequest, link: PromoLink, account: User) -> HttpResponse:
    send = partial(
        send_login_code,
        account,
        browser=ensure_browser_id(request),
        address=client_address(request),
        page=link.url,
    )
    try:
        send_or_spend_exemption(request, send)
    except AccountError as error:
        return _render_code_refusal(request, link, account, error)
    number = account.phone or ""
    context = {
        "form": CodeForm(),
        "resent": "resend" in request.POST,
        **_code_context(request, number),
    }
    return next_step(request, link, "code", context, phone=number)


def _render_code_refusal(
    request: HttpRequest, link: PromoLink, account: User, error: AccountError
) -> HttpResponse:
    number = account.phone or ""
    if error.code == "codes_paused" and usable_code(account, ensure_browser_id(request)):
        # The form says that no more come. A code that came before can still be typed.
        context = {"form": CodeForm(), **_code_context(request, number)}
        return next_step(request, link, "code", context, phone=number)
    if error.code != "too_many_codes":
        return render_step(request, link, "unavailable", {"refusal": error.code})
    if error.may_solve:
        return render_too_many(request, error.retry_after, "code")
    context = {"retry_after": error.retry_after}
    if account.phone and account_of(request) != account:
        # An impostor may have used up the codes: the owner of the phone can make a claim.
        context["claim_query"] = remember_phone(request, link.event.slug, account.phone)
    response = render_step(request, link, "too_many", context, status=429)
    response["Retry-After"] = str(error.retry_after)
    return response


def _code_context(request: HttpRequest, phone: str) -> dict[str, Any]:
    """Return what the code step shows of the latest code, and whether the phone can be claimed."""
    sent = latest_code(phone, ensure_browser_id(request))
    if sent is None:
        return {}
    # Another account can be signed in: the browser may be shared.
    is_own = account_of(request) == sent.account
    return {
        "by_sms": sent.channel == LoginCode.Channel.SMS,
        "sent_to": masked_email(sent.account.email),
        "can_correct": is_own,
        "is_unproven": not sent.account.verified_at,
        "can_claim": not is_own,
    }
