"""Who is on the other end while the database is away: by the session and this host's mirror."""

from django.http import HttpRequest

from accounts.sessions import RememberedAccount, remembered_account

from .mirror import the_mirror
from .models import Guest

HELD_PASSES_KEY = "held_passes"


def known_account(request: HttpRequest) -> RememberedAccount | None:
    """Return the account that the session's signature names, unless this host knows that the
    session has ended."""
    remembered = remembered_account(request)
    if remembered and the_mirror().has_ended(remembered):
        return None
    return remembered


def holds_pass(request: HttpRequest, guest: Guest) -> bool:
    """Say whether this browser was shown a guest's pass as its holder, without asking the database.

    Needs the account's id and email, which the mirror knows.
    """
    return guest.qr_token in request.session.get(HELD_PASSES_KEY, [])
