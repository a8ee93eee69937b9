"""Views of claims on a phone: the claimant's pages, and the links in emails to the holder.

The claims themselves are in `accounts/claims.py` and `guests/claims/`.
"""

from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404, render
from django.utils.translation import get_language
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_safe

from accounts.claims import latest_claim, make_claim, object_to, was_objected_to, withdraw_objection
from accounts.email_links import is_link_opened, is_signature_for
from accounts.emails import answer_hours
from accounts.exceptions import AccountError
from accounts.forms import RegisterForm
from accounts.login_codes import send_login_code
from accounts.models import Claim, User
from accounts.phones import masked_phone
from accounts.services import find_account
from accounts.sessions import BROWSER_KEY, account_of, ensure_browser_id
from accounts.sms import sms_channel_to
from guests.claims.proof import prove_by_link
from guests.refusals import refusal_text
from promo.emergency import needs_database
from promo.limits.policies import REGISTER
from promo.links import PromoLink, open_link
from promo.rendering import is_htmx, render_step, restart_steps, set_browser_url
from promo.steps import remember_phone, step_phone
from snap.addresses import client_address
from snap.limits.policy import PAGES, limited
from snap.resilience.database import guarded_database

# After a claim in one of these states the same browser can make another one.
ENDED_STATES = {Claim.State.REFUSED, Claim.State.UNDONE}


@limited(read=PAGES, write=REGISTER)
@never_cache
@require_http_methods(["GET", "POST"])
@needs_database
def claim(request: HttpRequest, event: str, promoter: str) -> HttpResponse:
    """Make a claim on the phone of the code step.

    No code needs to have been sent: an impostor could use up the codes of the account.
    """
    link = open_link(event, promoter)
    account = _account_of_step(request)
    if account is None:
        return restart_steps(request, link)
    made = latest_claim(account, ensure_browser_id(request))
    if made and made.state not in ENDED_STATES:
        return _redirect_to_claim(request, link, made)
    form, phone = RegisterForm(request.POST or None), account.phone or ""
    is_own = account_of(request) == account
    context = {"form": form, "is_own": is_own, **_decision_rules(phone)}
    if request.method == "GET" or not form.is_valid():
        return render_step(request, link, "claim", context, phone=phone)
    try:
        made = _make_claim(request, link, account, form)
        if sms_channel_to(phone):
            send_login_code(
                account, browser=ensure_browser_id(request), address=client_address(request)
            )
    except AccountError as error:
        if error.code == "email_taken":
            form.add_error("email", refusal_text(error.code))
            return render_step(request, link, "claim", context, phone=phone)
        if error.code != "too_many_codes":
            return render_step(request, link, "unavailable", {"refusal": error.code})
    assert made
    return _redirect_to_claim(request, link, made)


@limited(read=PAGES)
@never_cache
@require_safe
@needs_database
def claim_made(request: HttpRequest, event: str, promoter: str, claim_id: int) -> HttpResponse:
    """Show the state of a claim to the browser that made it."""
    link = open_link(event, promoter)
    browser = request.session.get(BROWSER_KEY)
    made = Claim.objects.filter(pk=claim_id).select_related("account").first()
    if made is None or not browser or made.browser != browser:
        raise Http404("no such claim")
    return _render_claim(request, link, made)


@limited(read=PAGES)
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
@guarded_database()
def objection(request: HttpRequest, claim_id: int) -> HttpResponse:
    """Make the holder's objection when the link in the email is opened for the first time.

    Opening the link also proves the email. The page has a form that withdraws the objection, and
    one that makes it again.
    """
    claim = get_object_or_404(Claim.objects.select_related("account"), pk=claim_id)
    proof = request.GET.get("proof", "")
    if not is_signature_for(proof, _holder_of(claim), f"claim:{claim.pk}"):
        raise Http404("not a link to this claim")
    if claim.is_undecided and (request.method == "POST" or is_link_opened(request)):
        prove_by_link(claim.account)
    if request.method == "POST":
        if request.POST.get("answer") == "withdraw":
            withdraw_objection(claim)
        else:
            object_to(claim)
        return HttpResponseRedirect(request.get_full_path(), status=303)
    was_withdrawn = was_objected_to(claim)
    if is_link_opened(request) and not was_withdrawn:
        claim = object_to(claim)
    context = {
        "claim": claim,
        "phone": masked_phone(claim.account.phone or ""),
        "was_withdrawn": was_withdrawn,
    }
    return render(request, "promo/objection.html", context)


@limited(read=PAGES)
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
@guarded_database()
def welcome(request: HttpRequest, account_id: int) -> HttpResponse:
    """Prove an account's email by the link in its welcome email. The link does not sign in."""
    account = get_object_or_404(User, pk=account_id)
    if not is_signature_for(request.GET.get("proof", ""), account, "welcome"):
        raise Http404("not a link to this account")
    if request.method == "POST" or is_link_opened(request):
        prove_by_link(account)
    return render(request, "promo/email_proven.html", {"is_proven": bool(account.verified_at)})


def _make_claim(request: HttpRequest, link: PromoLink, account: User, form: RegisterForm) -> Claim:
    return make_claim(
        account,
        **form.cleaned_data,
        language=get_language() or "",
        browser=ensure_browser_id(request),
        address=client_address(request),
        event_slug=link.event.slug,
    )


def _account_of_step(request: HttpRequest) -> User | None:
    """Return the account of the phone that the step is about."""
    phone = step_phone(request)
    if not phone:
        return None
    return find_account(phone)


def _holder_of(claim: Claim) -> User:
    """Return the account that the claim was made on, with the email that it had then.

    It has only the fields that a signature needs.
    """
    if claim.state == Claim.State.GRANTED and claim.taken:
        return User(pk=claim.account_id, email=claim.taken["email"])
    return claim.account


def _redirect_to_claim(request: HttpRequest, link: PromoLink, made: Claim) -> HttpResponse:
    url = link.claim_made_url(made.pk)
    if not is_htmx(request):
        return HttpResponseRedirect(url, status=303)
    response = _render_claim(request, link, made)
    set_browser_url(request, response, url)
    return response


def _render_claim(request: HttpRequest, link: PromoLink, made: Claim) -> HttpResponse:
    phone = made.account.phone or ""
    context: dict[str, object] = {"claim": made, **_decision_rules(phone)}
    if sms_channel_to(phone) is not None:
        context["code_sent"] = made.logincode_set.usable().exists()
        if phone:
            # The code by SMS is typed in the code step, which needs the phone.
            context["query"] = remember_phone(request, link.event.slug, phone)
    return render_step(request, link, "claim_made", context, phone=phone)


def _decision_rules(phone: str) -> dict[str, object]:
    """Return the rules of claims that pages show: the hours to object, and whether SMS is used."""
    return {"hours": answer_hours(), "has_sms": sms_channel_to(phone) is not None}
