"""Signatures in links that go to an account's own email: the link's use proves that email."""

from django.core.signing import BadSignature, Signer
from django.http import HttpRequest

from accounts.models import User

SALT = "accounts.email_links"


def signature_for(account: User, purpose: str) -> str:
    """Return the signature of a link for one purpose. It ends when the account's email changes."""
    return Signer(salt=SALT).signature(_signed(account, purpose))


def is_signature_for(signature: str, account: User, purpose: str) -> bool:
    """Say whether a link was sent to the email that the account has now, for this purpose.

    Signatures of SECRET_KEY_FALLBACKS count as well.
    """
    try:
        Signer(salt=SALT).unsign(f"{_signed(account, purpose)}:{signature}")
    except BadSignature:
        return False
    return bool(account.email)


def is_opened(request: HttpRequest) -> bool:
    """Say whether somebody opens a link: HEAD and a browser's prefetch must not have its effect."""
    purposes = [request.headers.get(name, "") for name in ("Sec-Purpose", "Purpose", "X-Moz")]
    is_prefetch = any(purpose.lower().startswith("prefetch") for purpose in purposes)
    return request.method == "GET" and not is_prefetch


def _signed(account: User, purpose: str) -> str:
    return f"{purpose} {account.pk} {account.email}"
