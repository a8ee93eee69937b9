"""Signatures of links that are sent to an account's own email.

Opening one proves the email, except for the link of a login code: its page signs in by a button.
"""

from django.core.signing import BadSignature, Signer
from django.http import HttpRequest

from accounts.models import LoginCode, User

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


def signature_for_code(code: LoginCode) -> str:
    """Return the signature of the link in the email with a login code."""
    return Signer(salt=SALT).signature(_signed_code(code))


def find_code_of_link(code_id: int, signature: str) -> LoginCode | None:
    """Return the login code of a link, with its account; None for a link that we did not send."""
    code = LoginCode.objects.filter(pk=code_id).select_related("account").first()
    if code is None:
        return None
    try:
        Signer(salt=SALT).unsign(f"{_signed_code(code)}:{signature}")
    except BadSignature:
        return None
    return code


def is_link_opened(request: HttpRequest) -> bool:
    """Return whether a person opens a link: no HEAD request and no prefetch by the browser."""
    for header in ("Sec-Purpose", "Purpose", "X-Moz"):
        if request.headers.get(header, "").lower().startswith("prefetch"):
            return False
    return request.method == "GET"


def _signed(account: User, purpose: str) -> str:
    return f"{purpose} {account.pk} {account.email}"


def _signed_code(code: LoginCode) -> str:
    return f"login_code {code.pk} {code.nonce}"
