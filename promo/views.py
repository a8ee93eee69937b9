"""The guest's way, screen by screen: ordinary pages and forms, and with HTMX their partials."""

from typing import Any
from uuid import UUID

from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils.translation import get_language
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_safe

from accounts.errors import AccountError
from accounts.forms import CodeForm, PhoneForm, RegisterForm
from accounts.models import LoginCode, User
from accounts.phone_checks import check_phone
from accounts.phones import readable_phone
from accounts.services import claim_phone, find_account, latest_code, send_login_code
from accounts.services import register as register_account
from accounts.sessions import BROWSER_KEY, PHONE_KEY, account_of, browser_of, sign_in
from accounts.suspicious import note_suspicious
from guests.creation import create_directly, create_while_waiting
from guests.errors import GuestError
from guests.intake import failed_ticket, queued_ticket
from guests.models import DeadEntry, Event, GuestRequest
from guests.proof import prove_by_code
from guests.services import (
    check_list_takes_requests,
    latest_request,
    places_of,
    request_place,
    wake_guests_worker,
)
from guests.snapshots import remember
from guests.tickets import seconds_left, sent_by_email, ticket_of
from snap.addresses import client_address

from . import emergency
from .answers import (
    go,
    is_htmx,
    show_calendar,
    show_event,
    show_events,
    show_step,
    show_ticket,
    ticket_context,
)
from .emergency import or_in_emergency, was_given_here
from .errors import refusal_text
from .links import PromoLink, open_link

# Why a list takes nobody any more, though some are on it.
SOME_CAME_IN_TIME = {"closed", "list_full"}


@require_safe
@or_in_emergency(emergency.events)
def events(request: HttpRequest) -> HttpResponse:
    account = account_of(request)
    places = places_of(account) if account else {}
    return show_events(request, Event.objects.listed().at_database_time(), places)


@never_cache
@require_safe
@or_in_emergency(emergency.event)
def event(request: HttpRequest, event: str, promoter: str = "") -> HttpResponse:
    """Show an event, and the place on its list of whoever is signed in."""
    link = open_link(event, promoter)
    remember(link.event)
    account = account_of(request)
    held = latest_request(link.event, account) if account else None
    if held is None:
        return show_event(request, link, {})
    ticket = ticket_context(ticket_of(held), wait=seconds_left(held), host=request.get_host())
    return show_event(request, link, ticket)


@never_cache
@require_http_methods(["GET", "POST"])
@or_in_emergency(emergency.phone)
def phone(request: HttpRequest, event: str, promoter: str) -> HttpResponse:
    """Ask for the phone: a known one leads to a code, an unknown one to registration.

    Once the list is full or closed the code is still sent: who came in time is on it.
    """
    link = open_link(event, promoter)
    refusal = _refusal_of_list(link)
    if refusal and refusal not in SOME_CAME_IN_TIME:
        return show_step(request, link, "unavailable", {"refusal": refusal}, status=409)
    form = PhoneForm(request.POST or None)
    if request.method == "GET" or not form.is_valid():
        return show_step(request, link, "phone", {"form": form})
    number = form.cleaned_data["phone"]
    account = account_of(request)
    if account and account.phone == number:
        return _request_access(request, link, account)
    request.session[PHONE_KEY] = number
    known = find_account(number) if check_phone(number).exists else None
    if known:
        return _send_code(request, link, known)
    context: dict[str, Any] = {"phone": readable_phone(number)}
    if refusal:
        return show_step(request, link, "unavailable", context | {"refusal": refusal}, status=409)
    return go(request, link, "register", context | {"form": RegisterForm()})


@never_cache
@require_http_methods(["GET", "POST"])
@or_in_emergency(emergency.code)
def code(request: HttpRequest, event: str, promoter: str) -> HttpResponse:
    """Take the one-time code, sign in and request access in the same round trip."""
    link = open_link(event, promoter)
    number = request.session.get(PHONE_KEY)
    if not number:
        return go(request, link, "phone", {"form": PhoneForm()})
    if (account := _sent_again(request, number)) and account.verified_at:
        return _request_access(request, link, account)
    if "resend" in request.POST and (known := find_account(number)):
        return _send_code(request, link, known)
    form = CodeForm(request.POST or None)
    context = {"form": form, **_about_code(request, number)}
    if request.method == "GET" or not form.is_valid():
        return show_step(request, link, "code", context)
    try:
        account = prove_by_code(
            phone=number,
            browser=browser_of(request),
            typed=form.cleaned_data["code"],
            address=client_address(request),
        )
    except AccountError as error:
        form.add_error("code", refusal_text(error.code))
        return show_step(request, link, "code", context)
    sign_in(request, account)
    return _request_access(request, link, account)


@never_cache
@require_http_methods(["GET", "POST"])
@or_in_emergency(emergency.register)
def register(request: HttpRequest, event: str, promoter: str) -> HttpResponse:
    """Take the names and email of an unknown phone; account and request are made together."""
    link = open_link(event, promoter)
    number = request.session.get(PHONE_KEY)
    if not number:
        return go(request, link, "phone", {"form": PhoneForm()})
    if account := _sent_again(request, number):
        return _request_access(request, link, account)
    form = RegisterForm(request.POST or None)
    if request.method == "GET" or not form.is_valid():
        return show_step(request, link, "register", {"form": form, "phone": readable_phone(number)})
    try:
        with transaction.atomic():
            account = register_account(
                phone=number,
                first_name=form.cleaned_data["first_name"],
                last_name=form.cleaned_data["last_name"],
                email=form.cleaned_data["email"],
                language=get_language() or "",
                browser=browser_of(request),
            )
            stored = _request_place(link, account, account_is_new=True)
    except AccountError as error:
        known = find_account(number)
        if error.code == "phone_taken" and known:
            return _send_code(request, link, known)
        note_suspicious("blocked_phone", phone=number, address=client_address(request))
        return show_step(request, link, "unavailable", {"refusal": error.code}, status=403)
    except GuestError as error:
        return show_step(request, link, "unavailable", {"refusal": error.code}, status=409)
    sign_in(request, account)
    return _show(request, stored)


@never_cache
@require_http_methods(["GET", "POST"])
@or_in_emergency(emergency.no_codes)
def claim(request: HttpRequest, event: str, promoter: str) -> HttpResponse:
    """Let somebody say who they are whose phone an unproven account has taken before they came."""
    link = open_link(event, promoter)
    number: str = request.session.get(PHONE_KEY) or ""
    sent = latest_code(number, browser_of(request))
    if sent is None or sent.account.verified_at:
        return go(request, link, "phone", {"form": PhoneForm()})
    form = RegisterForm(request.POST or None)
    if request.method == "GET" or not form.is_valid():
        return show_step(request, link, "claim", {"form": form, "phone": readable_phone(number)})
    try:
        claim_phone(
            sent.account,
            **form.cleaned_data,
            language=get_language() or "",
            browser=browser_of(request),
            address=client_address(request),
        )
    except AccountError as error:
        return _no_code(request, link, error)
    return go(request, link, "code", {"form": CodeForm(), **_about_code(request, number)})


@never_cache
@require_http_methods(["GET", "POST"])
@or_in_emergency(emergency.no_codes)
def prove(request: HttpRequest, event: str, promoter: str) -> HttpResponse:
    """Send a code to whoever is signed in, for an event that asks for a proof before the QR."""
    link = open_link(event, promoter)
    account = account_of(request)
    if account is None or account.phone is None:
        return go(request, link, "phone", {"form": PhoneForm()})
    if account.verified_at:
        return redirect(link.url)
    if request.method == "GET":
        return show_step(request, link, "prove", {})
    request.session[PHONE_KEY] = account.phone
    return _send_code(request, link, account)


@never_cache
@require_http_methods(["GET", "POST"])
@or_in_emergency(emergency.request_access)
def request_access(request: HttpRequest, event: str, promoter: str) -> HttpResponse:
    """One tap for whoever is signed in; a reloaded answer leads back to the event."""
    link = open_link(event, promoter)
    if request.method == "GET":
        return redirect(link.url)
    account = account_of(request)
    if account is None:
        return go(request, link, "phone", {"form": PhoneForm()})
    return _request_access(request, link, account)


@never_cache
@require_safe
@or_in_emergency(emergency.ticket)
def ticket(request: HttpRequest, event: str, ticket_id: UUID) -> HttpResponse:
    """Show the present state of a ticket to its owner; pages poll this.

    A browser that registered in an emergency has its account back here. One that asked for a phone
    whose account it cannot prove only learns that the answer went to that account's email.
    """
    account = account_of(request)
    given_here = was_given_here(request, ticket_id)
    if account is None and not given_here:
        return redirect("promo:event", event)
    stored = GuestRequest.objects.filter(ticket_id=ticket_id, event__slug=event).to_tell().first()
    if stored is None:
        if given_here:
            return _show_kept(request, event, ticket_id)
        raise Http404("no such ticket")
    if stored.account != account and stored.browser and stored.browser == _browser(request):
        sign_in(request, stored.account)
        account = stored.account
    if stored.account == account:
        return show_ticket(request, ticket_of(stored), wait=seconds_left(stored))
    if given_here:
        return show_ticket(request, sent_by_email(stored), wait=0)
    raise Http404("no such ticket")


def _show_kept(request: HttpRequest, event: str, ticket_id: UUID) -> HttpResponse:
    """Show a ticket that is in a journal still, or dead there."""
    link = open_link(event, "")
    is_dead = DeadEntry.objects.filter(ticket_id=ticket_id).exists()
    describe = failed_ticket if is_dead else queued_ticket
    ticket = describe(link.event, str(ticket_id))
    return show_ticket(request, ticket, wait=emergency.QUEUED_SECONDS)


def _browser(request: HttpRequest) -> str | None:
    return request.session.get(BROWSER_KEY)


@require_safe
@or_in_emergency(emergency.calendar)
def calendar(request: HttpRequest, event: str) -> HttpResponse:
    return show_calendar(request, open_link(event, ""))


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
    try:
        send_login_code(account, browser=browser_of(request), address=client_address(request))
    except AccountError as error:
        return _no_code(request, link, error)
    context = {"form": CodeForm(), **_about_code(request, account.phone or "")}
    return go(request, link, "code", context | {"resent": "resend" in request.POST})


def _no_code(request: HttpRequest, link: PromoLink, error: AccountError) -> HttpResponse:
    if error.code != "too_many_codes":
        return show_step(request, link, "unavailable", {"refusal": error.code}, status=403)
    wait = {"retry_after": error.retry_after}
    answer = show_step(request, link, "too_many", wait, status=429)
    answer["Retry-After"] = str(error.retry_after)
    return answer


def _about_code(request: HttpRequest, phone: str) -> dict[str, Any]:
    """Return what the code step says of the code: where it went, and whether others may claim."""
    sent = latest_code(phone, browser_of(request))
    is_own = account_of(request) is not None
    return {
        "phone": readable_phone(phone),
        "by_sms": sent is not None and sent.channel == LoginCode.Channel.SMS,
        "claimed_for": sent.claim.email if sent and sent.claim else "",
        "can_claim": sent is not None and not sent.account.verified_at and not is_own,
    }


def _request_place(link: PromoLink, account: User, *, account_is_new: bool = False) -> GuestRequest:
    return request_place(
        link.event,
        account,
        promoter=link.promoter,
        team=link.team,
        account_is_new=account_is_new,
    )


def _request_access(request: HttpRequest, link: PromoLink, account: User) -> HttpResponse:
    try:
        stored = _request_place(link, account)
    except GuestError as error:
        status = 403 if error.code == "refused" else 409
        return show_step(request, link, "unavailable", {"refusal": error.code}, status=status)
    return _show(request, stored)


def _show(request: HttpRequest, stored: GuestRequest) -> HttpResponse:
    """Show the ticket of a request just made.

    It is ended here first where no worker can be woken, and for a browser without JavaScript, which
    no push reaches: its page would ask again only after two seconds.
    """
    if stored.state == GuestRequest.State.PENDING:
        if wake_guests_worker.is_failing():
            stored = create_directly(stored)
        elif not is_htmx(request):
            stored = create_while_waiting(stored)
    return show_ticket(request, ticket_of(stored), wait=seconds_left(stored))
