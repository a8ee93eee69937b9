"""Who holds a pass: its account, and whoever has the link that was sent to the account's email.

The link carries a signature that is bound to the guest, its QR token, its account and the account's
email. A browser that has opened the link keeps the signature in its session, for that pass only.
Beside it is the session's id: what a session keeps ends with it, in copies of its cookie too.
"""

from django.contrib.auth import SESSION_KEY
from django.http import HttpRequest
from django.utils.http import urlencode

from accounts.email_links import is_link_opened, is_signature_for, signature_for
from accounts.sessions import SESSION_ID_KEY, account_of, ensure_session_id
from guests.claims.proof import prove_by_link
from guests.models import Guest
from guests.qr.codes import pass_url

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
    account = account_of(request)  # A session that has ended loses what it kept.
    proof = request.GET.get("proof", "")
    if (
        proof
        and is_link_opened(request)
        and is_signature_for(proof, guest.account, _purpose(guest))
    ):
        prove_by_link(guest.account)
        _remember(request, proof)
    if account is not None and account.pk == guest.account_id:
        return True
    return has_link(request, guest)


def has_link(request: HttpRequest, guest: Guest, *, session_has_ended: bool = False) -> bool:
    """Say whether a visitor opens the link from the email, or has opened it in this browser.

    Needs the account's id, email and ended sessions, and no query.
    """
    kept = [] if session_has_ended else _kept(request, guest)
    proofs = [request.GET.get("proof", ""), *kept]
    return any(is_signature_for(each, guest.account, _purpose(guest)) for each in proofs if each)


def _kept(request: HttpRequest, guest: Guest) -> list[str]:
    """Return the signatures that the session keeps, without those of sessions that have ended."""
    here = request.session.get(SESSION_ID_KEY, "")
    kept = [each.partition(" ") for each in request.session.get(PASSES_KEY, [])]
    # The previous release kept no session id.
    return [
        proof for proof, _, session_id in kept if not _has_ended(guest, {session_id or here, here})
    ]


def _has_ended(guest: Guest, session_ids: set[str]) -> bool:
    return not session_ids.isdisjoint(guest.account.ended_sessions)


def _remember(request: HttpRequest, proof: str) -> None:
    if SESSION_KEY not in request.session:
        # Whoever signs in keeps this id. One without an id ends with all others of its account.
        ensure_session_id(request)
    kept: list[str] = request.session.get(PASSES_KEY, [])
    new = f"{proof} {request.session.get(SESSION_ID_KEY, '')}".rstrip()
    if new not in kept:
        others = [each for each in kept if each.partition(" ")[0] != proof]
        request.session[PASSES_KEY] = [*others, new][-MAX_PASSES:]


def _purpose(guest: Guest) -> str:
    return f"pass:{guest.pk}:{guest.qr_token}"
