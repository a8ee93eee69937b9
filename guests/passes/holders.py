"""The holders of a pass: the guest's account, and browsers that opened the link from the QR email.

The link has a signature over the guest, its QR token, its account and the account's email. A
browser that opens the link stores the signature in its session, with the session's id. A stored
signature is ignored after that session has ended, so it ends in copies of the cookie too.
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
MAX_PASSES = 8  # The session is a cookie, so its size is limited.


def link_for_holder(guest: Guest) -> str:
    """Return the address of a guest's pass that opens it in any browser. Reads the account."""
    query = urlencode({"proof": signature_for(guest.account, _purpose(guest))})
    return f"{pass_url(guest.qr_token or '')}?{query}"


def is_holder(request: HttpRequest, guest: Guest) -> bool:
    """Return whether a visitor may see a guest's pass. Reads the account.

    Opening the link from the email also proves the account's email, and this browser is remembered
    as a holder of the pass.
    """
    account = account_of(request)  # It also empties a session that has ended.
    signature = request.GET.get("proof", "")
    if signature and is_link_opened(request) and _is_signature(signature, guest):
        prove_by_link(guest.account)
        _remember(request, signature)
    if account is not None and account.pk == guest.account_id:
        return True
    return has_link(request, guest)


def has_link(request: HttpRequest, guest: Guest, *, session_has_ended: bool = False) -> bool:
    """Return whether a visitor opens the link from the email, or opened it in this browser before.

    Reads the account's id, email and ended sessions. No query.
    """
    signatures = [request.GET.get("proof", "")]
    if not session_has_ended:
        signatures += _stored_signatures(request, guest)
    return any(_is_signature(signature, guest) for signature in signatures if signature)


def _is_signature(signature: str, guest: Guest) -> bool:
    return is_signature_for(signature, guest.account, _purpose(guest))


def _stored_signatures(request: HttpRequest, guest: Guest) -> list[str]:
    """Return the signatures in the session, without those that ended sessions stored."""
    current_id = request.session.get(SESSION_ID_KEY, "")
    signatures = []
    for entry in request.session.get(PASSES_KEY, []):
        signature, _, session_id = entry.partition(" ")
        # Entries of the previous release have no session id.
        session_ids = {session_id or current_id, current_id}
        if session_ids.isdisjoint(guest.account.ended_sessions):
            signatures.append(signature)
    return signatures


def _remember(request: HttpRequest, signature: str) -> None:
    """Store a signature in the session, with its session id. The oldest of MAX_PASSES goes."""
    if SESSION_KEY not in request.session:
        # A sign-in keeps this id. Without an id, the session ends with all others of its account.
        ensure_session_id(request)
    stored: list[str] = request.session.get(PASSES_KEY, [])
    new = f"{signature} {request.session.get(SESSION_ID_KEY, '')}".rstrip()
    if new not in stored:
        others = [entry for entry in stored if entry.partition(" ")[0] != signature]
        request.session[PASSES_KEY] = [*others, new][-MAX_PASSES:]


def _purpose(guest: Guest) -> str:
    return f"pass:{guest.pk}:{guest.qr_token}"
