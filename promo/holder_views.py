"""Views in which the holder of a place changes something: the email, or whether they come."""

from uuid import UUID

from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST

from accounts.email_changes import may_change_directly, usable_code, was_new_email_told
from accounts.exceptions import AccountError
from accounts.forms import EmailAndCodeForm, EmailForm, PhoneForm
from accounts.login_codes import send_login_code
from accounts.mailboxes import likely_email, masked_email
from accounts.models import LoginCode, User
from accounts.sessions import account_of, ensure_browser_id, sign_in
from accounts.sms import sms_channel
from guests.claims.corrections import correct_email, correct_email_by_code
from guests.refusals import refusal_of, refusal_text
from guests.requests.deliveries import accepts_no_email
from guests.requests.giving_back import give_place_back, keep_place
from promo.emergency import needs_database
from promo.kept_emails import remember_kept_email
from promo.limits.policies import PROVE
from promo.links import PromoLink, open_link
from promo.rendering import is_htmx, next_step, render_step, restart_steps
from promo.steps import step_phone
from promo.ticket_access import TicketAccess, find_ticket
from snap.addresses import client_address
from snap.limits.policy import PAGES, limited

# The query parameter of the email step after the change.
CHANGED = "changed"
OWNERS = {TicketAccess.ACCOUNT, TicketAccess.BROWSER}


@limited(read=PAGES, write=PROVE)
@never_cache
@require_http_methods(["GET", "POST"])
@needs_database
def email(request: HttpRequest, event: str, promoter: str) -> HttpResponse:
    """Change the email of the signed-in account.

    The browser that registered an unproven account changes it directly. Any other change needs a
    code, which the same form asks for first.
    """
    link = open_link(event, promoter)
    account = account_of(request)
    if account is None or account.phone is None:
        return next_step(request, link, "phone", {"form": PhoneForm()})
    if request.method == "GET":
        if CHANGED in request.GET:
            return _render_change(request, link, account)
        form = _form_for(request, account)
        return _render_form(request, link, account, form)
    if step_phone(request) != account.phone:
        return restart_steps(request, link)
    if "send" in request.POST:
        return _send_code(request, link, account)
    form = _form_for(request, account)
    if not form.is_valid():
        return _render_form(request, link, account, form)
    try:
        _change(request, account, form)
    except AccountError as error:
        return _render_refusal(request, link, account, form, error)
    remember_kept_email(request, form.cleaned_data["email"])
    if is_htmx(request):
        return _render_change(request, link, account)
    return HttpResponseRedirect(f"{link.email_url}?{CHANGED}=1", status=303)


def _change(request: HttpRequest, account: User, form: EmailForm) -> None:
    """Change the email as the form says. Raises AccountError."""
    new_email, browser = form.cleaned_data["email"], ensure_browser_id(request)
    if not isinstance(form, EmailAndCodeForm):
        correct_email(account, new_email, browser=browser)
        return
    proven = correct_email_by_code(
        account,
        new_email,
        browser=browser,
        typed=form.cleaned_data["code"],
        address=client_address(request),
    )
    # A first code ends the sessions of other browsers, and this one gets a new session.
    sign_in(request, proven)


def _form_for(request: HttpRequest, account: User) -> EmailForm:
    """Return the form of this browser: without a code if it may change the email directly."""
    form_class: type[EmailForm] = EmailAndCodeForm
    if may_change_directly(account, ensure_browser_id(request)):
        form_class = EmailForm
    return form_class(request.POST or None, initial={"email": likely_email(account.email)})


def _render_form(
    request: HttpRequest, link: PromoLink, account: User, form: EmailForm, *, notice: str = ""
) -> HttpResponse:
    needs_code = isinstance(form, EmailAndCodeForm)
    sent = usable_code(account, ensure_browser_id(request)) if needs_code else None
    by_sms = sms_channel() is not None and not account.has_proven_email
    if sent is not None:
        by_sms = sent.channel == LoginCode.Channel.SMS
    context = {
        "form": form,
        "sent_to": masked_email(account.email),
        "needs_code": needs_code,
        "code_sent": sent is not None,
        "by_sms": by_sms,
        # A code that goes to an address which refuses emails helps nobody.
        "is_refused": needs_code and not by_sms and sent is None and accepts_no_email(account),
        "notice": notice,
    }
    return render_step(request, link, "email", context, phone=account.phone or "")


def _render_change(request: HttpRequest, link: PromoLink, account: User) -> HttpResponse:
    account.refresh_from_db(fields=["email"])
    context = {"sent_to": masked_email(account.email), "is_told": was_new_email_told(account)}
    return render_step(request, link, "email_changed", context)


def _send_code(request: HttpRequest, link: PromoLink, account: User) -> HttpResponse:
    """Send the code that a change needs, and show the form again with its field."""
    browser = ensure_browser_id(request)
    notice = ""
    try:
        send_login_code(account, browser=browser, address=client_address(request))
    except AccountError as error:
        if error.code not in {"too_many_codes", "codes_paused"}:
            return render_step(request, link, "unavailable", {"refusal": error.code})
        notice = refusal_text(error.code)
    form = EmailAndCodeForm(initial={"email": likely_email(account.email)})
    if not is_htmx(request) and not notice:
        return HttpResponseRedirect(link.email_url, status=303)
    return _render_form(request, link, account, form, notice=notice)


def _render_refusal(
    request: HttpRequest, link: PromoLink, account: User, form: EmailForm, error: AccountError
) -> HttpResponse:
    """Show a refusal beside the field that it is about, or alone."""
    field = refusal_of(error.code).field
    if field not in form.fields:
        return render_step(request, link, "unavailable", {"refusal": error.code})
    form.add_error(field, refusal_text(error.code))
    return _render_form(request, link, account, form)


@limited(write=PAGES)
@never_cache
@require_POST
@needs_database
def place(request: HttpRequest, event: str, ticket_id: UUID) -> HttpResponse:
    """Give the place of a ticket back, or undo that with `answer=keep`."""
    found = find_ticket(ticket_id, request.session)
    stored = found.stored
    if found.access not in OWNERS or stored is None or stored.event.slug != event:
        raise Http404("no such ticket")
    if stored.guest is not None:
        stored.guest.account = stored.account
        if request.POST.get("answer") == "keep":
            keep_place(stored.guest)
        else:
            give_place_back(stored.guest)
    return HttpResponseRedirect(reverse("promo:ticket", args=[event, ticket_id]), status=303)
