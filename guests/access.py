"""Who is on the other end while the database is away: by the session and this host's mirror."""

from django.http import HttpRequest

from accounts.sessions import RememberedAccount, remembered_account

from .mirror import the_mirror

HELD_PASSES_KEY = "held_passes"


def known_account(request: HttpRequest) -> RememberedAccount | None:
    """Return the account that the session's signature names, unless this host knows that the
    session has ended."""
    remembered = remembered_account(request)
    if remembered and the_mirror().has_ended(remembered.pk, remembered.session_hash):
        return None
    return remembered


def holds_pass(request: HttpRequest, token: str) -> bool:
    """Say whether this browser was shown the pass as its holder, by the link in the QR email."""
    return token in request.session.get(HELD_PASSES_KEY, [])
