"""The page of the link in the email with a login code: one button signs in.

The link is worth as much as the code, so it counts only in the browser that asked for the code.
Programs that open the links of emails change nothing: only the button does.
"""

from enum import StrEnum

from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import Resolver404, resolve, reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from accounts.email_links import find_code_of_link
from accounts.exceptions import AccountError
from accounts.models import LoginCode, User
from accounts.phones import masked_phone
from accounts.sessions import BROWSER_KEY, account_of, sign_in
from guests.claims.proof import prove_by_code
from guests.refusals import refusal_of
from promo.limits.policies import SIGN_IN_LINK
from promo.links import PromoLink, open_link
from promo.requesting import respond_with_place
from snap.addresses import client_address
from snap.limits.policy import PAGES, limited
from snap.resilience.database import guarded_database


class LinkState(StrEnum):
    """What the page of a link says."""

    READY = "ready"
    SIGNED_IN = "signed_in"
    # Another browser asked for the code.
    ELSEWHERE = "elsewhere"
    # The code was used, has expired, or a later one has replaced it.
    ENDED = "ended"


@limited(read=PAGES, write=SIGN_IN_LINK)
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
@guarded_database()
def sign_in_link(request: HttpRequest, code_id: int) -> HttpResponse:
    """Sign in on POST, as typing the code does, and go on at the page that asked for the code."""
    code = find_code_of_link(code_id, request.GET.get("proof", ""))
    if code is None:
        raise Http404("not a link to a code")
    link = _find_link(code)
    state = _state_of(request, code)
    if request.method != "POST":
        return _render(request, code, link, state)
    if state is LinkState.ELSEWHERE:
        return _render(request, code, link, state, status=403)
    if state is LinkState.SIGNED_IN:
        return _go_on(request, code.account, link)
    try:
        account = prove_by_code(
            phone=code.account.phone or "",
            browser=request.session.get(BROWSER_KEY, ""),
            typed=code.digits(),
            address=client_address(request),
        )
    except AccountError as error:
        status = refusal_of(error.code).status
        return _render(request, code, link, LinkState.ENDED, status=status)
    sign_in(request, account)
    return _go_on(request, account, link)


def _state_of(request: HttpRequest, code: LoginCode) -> LinkState:
    browser = request.session.get(BROWSER_KEY)
    account = account_of(request)
    if account is not None and account.pk == code.account_id and account.verified_at:
        return LinkState.SIGNED_IN
    if not LoginCode.objects.usable().filter(pk=code.pk).exists():
        return LinkState.ENDED
    if browser != code.browser:
        return LinkState.ELSEWHERE
    return LinkState.READY


def _find_link(code: LoginCode) -> PromoLink | None:
    """Return the promo link on which the code was asked for, None for no event or a hidden one."""
    try:
        where = resolve(code.page).kwargs
        return open_link(where["event"], where.get("promoter", ""))
    except (Resolver404, KeyError, Http404):
        return None


def _go_on(request: HttpRequest, account: User, link: PromoLink | None) -> HttpResponse:
    """Request a place at the event on whose page the code was asked for."""
    if link is None:
        return HttpResponseRedirect(reverse("promo:events"), status=303)
    return respond_with_place(request, link, account)


def _render(
    request: HttpRequest,
    code: LoginCode,
    link: PromoLink | None,
    state: LinkState,
    *,
    status: int = 200,
) -> HttpResponse:
    context: dict[str, object] = {"state": state, "link": link}
    if state is LinkState.READY:
        context["phone"] = masked_phone(code.account.phone or "")
    return render(request, "promo/sign_in_link.html", context, status=status)
