"""The holders of a pass: the guest's account, and browsers that opened the link from the QR email.

The link has a signature over the guest, its QR token, its account and the account's email. A
browser that opens the link stores the signature in its session, with the session's id. A stored
signature is ignored after that session has ended, so it ends in copies of the cookie too.
"""

from collections.abc import Mapping, MutableMapping, Sequence
from typing import Any

from django.contrib.auth import SESSION_KEY
from django.core.signing import BadSignature, Signer
from django.utils.http import urlencode

from accounts.email_links import is_signature_for, signature_for
from accounts.models import User
from accounts.sessions import SESSION_ID_KEY, ensure_session_id, is_session_of
from guests.claims.proof import prove_by_link
from guests.models import Guest
from guests.qr.codes import pass_url

# The query parameter of the link that has the signature.
SIGNATURE_FIELD = "proof"
PASSES_KEY = "held_passes"
STAFF_SALT = "guests.link_from_staff"
MAX_PASSES = 8  # The session is a cookie, so its size is limited.

# The QR token of a pass, and the session that asks for it.
PassQuery = tuple[str, Any]


def link_for_holder(guest: Guest) -> str:
    """Return the address of a guest's pass that opens it in any browser. Reads the account."""
    token = guest.qr_token or ""
    query = urlencode({SIGNATURE_FIELD: signature_for(guest.account, _purpose(guest, token))})
    return f"{pass_url(token)}?{query}"


def link_from_staff(guest: Guest) -> str:
    """Return the address of a pass for staff to hand over, as to a guest without an email.

    It opens the pass in any browser, and proves nothing. Reads the account.
    """
    token = guest.qr_token or ""
    signature = Signer(salt=STAFF_SALT).signature(_staff_purpose(guest, token))
    return f"{pass_url(token)}?{urlencode({SIGNATURE_FIELD: signature})}"


def open_link(
    session: MutableMapping[str, Any], guest: Guest, signature: str, *, token: str
) -> None:
    """Prove the email of the guest's account, and remember this browser as a holder of the pass.

    Call it when a person opens the link from the email. `token` is the one in the link, which may
    be revoked. It ignores a signature that is not of this pass. Reads the account.
    """
    if signature and _is_signature(signature, guest, token):
        prove_by_link(guest.account)
        _remember(session, signature)
    elif signature and _is_from_staff(signature, guest, token):
        _remember(session, signature)


def is_holder(
    session: Mapping[str, Any], guest: Guest, account: User | None, signature: str, *, token: str
) -> bool:
    """Return whether a visitor may see a guest's pass. Reads the guest's account.

    `account` is the one that is signed in. `signature` is that of the link, "" without one. `token`
    is the one in the link, which may be revoked.
    """
    if account is not None and account.pk == guest.account_id:
        return True
    return has_link(session, guest, signature, token=token)


def has_link(
    session: Mapping[str, Any],
    guest: Guest,
    signature: str,
    *,
    token: str,
    session_has_ended: bool = False,
) -> bool:
    """Return whether a visitor opens the link from the email, or opened it in this browser before.

    `signature` is that of the link, "" without one. Reads the account's id, email and ended
    sessions. No query.
    """
    signatures = [signature]
    if not session_has_ended:
        signatures += _stored_signatures(session, guest)
    given = [signature for signature in signatures if signature]
    return any(
        _is_signature(each, guest, token) or _is_from_staff(each, guest, token) for each in given
    )


def _is_from_staff(signature: str, guest: Guest, token: str) -> bool:
    """Return whether staff handed out this link to a guest's pass."""
    try:
        Signer(salt=STAFF_SALT).unsign(f"{_staff_purpose(guest, token)}:{signature}")
    except BadSignature:
        return False
    return True


def _staff_purpose(guest: Guest, token: str) -> str:
    """Return what a link from staff is for. It ends when the place or its account changes hands."""
    return f"{guest.pk} {token} {guest.account_id} {guest.account.email}"


def _is_signature(signature: str, guest: Guest, token: str) -> bool:
    return is_signature_for(signature, guest.account, _purpose(guest, token))


def _stored_signatures(session: Mapping[str, Any], guest: Guest) -> list[str]:
    """Return the signatures in the session, without those that ended sessions stored."""
    current_id = session.get(SESSION_ID_KEY, "")
    signatures = []
    for entry in session.get(PASSES_KEY, []):
        session_id = entry.partition(" ")[2]
        # Entries of the previous release have no session id.
        session_ids = {session_id or current_id, current_id}
        if session_ids.isdisjoint(guest.account.ended_sessions):
            signatures.append(signature_in(entry))
    return signatures


def signature_in(entry: str) -> str:
    """Return the signature in an entry of PASSES_KEY."""
    return entry.partition(" ")[0]


def _remember(session: MutableMapping[str, Any], signature: str) -> None:
    """Store a signature in the session, with its session id. The oldest of MAX_PASSES goes."""
    if SESSION_KEY not in session:
        # A sign-in keeps this id. Without an id, the session ends with all others of its account.
        ensure_session_id(session)
    stored: list[str] = session.get(PASSES_KEY, [])
    new = f"{signature} {session.get(SESSION_ID_KEY, '')}".rstrip()
    if new not in stored:
        others = [entry for entry in stored if signature_in(entry) != signature]
        session[PASSES_KEY] = [*others, new][-MAX_PASSES:]


def _purpose(guest: Guest, token: str) -> str:
    return f"pass:{guest.pk}:{token}"


def find_held_passes(queries: Sequence[PassQuery]) -> list[Guest | None]:
    """Return the guest of each pass that the session beside it may see, None for all others.

    One query for all, two when a token was revoked. The accounts are loaded.
    """
    guests = Guest.objects.select_related("account").with_tokens(token for token, _ in queries)
    found = []
    for token, session in queries:
        guest = guests.get(token)
        if guest is not None and not _is_held_in(session, guest, token):
            guest = None
        found.append(guest)
    return found


def _is_held_in(session: Any, guest: Guest, token: str) -> bool:
    return is_session_of(session, guest.account) or has_link(session, guest, "", token=token)
