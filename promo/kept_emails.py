"""Email addresses with an unusual domain that a person has kept: no page asks about them again."""

from typing import Any

from django.http import HttpRequest

from accounts.mailboxes import masked_email

# The form field in which static/js/email_hint.js names the address that was kept.
FIELD = "kept_email"
SESSION_KEY = "kept_hint"


def remember_kept_email(request: HttpRequest, email: str) -> None:
    """Keep in the session that the person has confirmed an address. It holds the masked address."""
    if request.POST.get(FIELD, "").strip().lower() == email.lower():
        request.session[SESSION_KEY] = masked_email(email)


def kept_hint(session: Any) -> str:
    """Return the masked address that was kept, "" for none."""
    return str(session.get(SESSION_KEY, ""))
