"""Who holds a pass: its account, and whoever has the link that was sent to the account's email.

The link carries a signature that is bound to the guest, its QR token, its account and the account's
email. A browser that has opened the link keeps the signature in its session, for that pass only.
"""

from django.http import HttpRequest
from django.utils.http import urlencode

from accounts.email_links import is_opened, is_signature_for, signature_for
from accounts.sessions import account_of

from .models import Guest
from .proof import prove_by_link
from .qr import pass_url

PASSES_KEY = "held_passes"
MAX_PASSES = 8  # in one browser's session, which is a cookie


def link_for_holder(guest: Guest) -> str:
    """Return the address of a guest's pass that opens it in any browser. Needs the account."""
    query = urlencode({"proof": signature_for(guest.account, _purpose(guest))})
    return f"{pass_url(guest.qr_token or '')}?{query}"


def is_holder(request: HttpRequest, guest: Guest) -> bool:
    """Say whether a visitor may see a guest's pass. Needs the account.

    The link from the email proves the account's email when somebody opens it, and this browser is
    remembered as a holder of the pass.
    """
    proof = request.GET.get("proof", "")
    if proof and is_opened(request) and is_signature_for(proof, guest.account, _purpose(guest)):
        prove_by_link(guest.account)
        _remember(request, proof)
    if has_link(request, guest):
        return True
    account = account_of(request)
    return account is not None and account.pk == guest.account_id


def has_link(request: HttpRequest, guest: Guest) -> bool:
    """Say whether a visitor opens the link from the email, or has opened it in this browser.

    Needs the account's id and email, and no query.
    """
    kept: list[str] = request.session.get(PASSES_KEY, [])
    proofs = [request.GET.get("proof", ""), *kept]
    return any(is_signature_for(each, guest.account, _purpose(guest)) for each in proofs if each)


def _remember(request: HttpRequest, proof: str) -> None:
    kept: list[str] = request.session.get(PASSES_KEY, [])
    if proof not in kept:
        request.session[PASSES_KEY] = [*kept, proof][-MAX_PASSES:]


def _purpose(guest: Guest) -> str:
    return f"pass:{guest.pk}:{guest.qr_token}"
