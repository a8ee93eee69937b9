"""Signatures of links that are sent to an account's own email. Opening one proves the email."""

from django.core.signing import BadSignature, Signer
from django.http import HttpRequest

from accounts.models import User

SALT = "accounts.email_links"


def signature_for(account: User, purpose: str) -> str:
    """Return the signature of a link for one purpose. It is valid until the email changes."""
    return Signer(salt=SALT).signature(_signed(account, purpose))


def is_signature_for(signature: str, account: User, purpose: str) -> bool:
    """Return whether a link was sent to the account's current email, for this purpose.

    Signatures with keys of SECRET_KEY_FALLBACKS are valid.
    """
    try:
        Signer(salt=SALT).unsign(f"{_signed(account, purpose)}:{signature}")
    except BadSignature:
        return False
    return bool(account.email)


def is_link_opened(request: HttpRequest) -> bool:
    """Return whether a person opens a link: no HEAD request and no prefetch by the browser."""
    for header in ("Sec-Purpose", "Purpose", "X-Moz"):
        if request.headers.get(header, "").lower().startswith("prefetch"):
            return False
    return request.method == "GET"


def _signed(account: User, purpose: str) -> str:
    return f"{purpose} {account.pk} {account.email}"
