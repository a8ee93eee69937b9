"""Sessions without the database: verified by signature, and by the sign-outs this host knows."""

from django.http import HttpRequest

from accounts.sessions import BROWSER_KEY, RememberedAccount, remembered_account
from guests.emergency.entries import EndedSession
from guests.emergency.journal import get_journal
from guests.emergency.mirror import get_mirror


def known_account(request: HttpRequest) -> RememberedAccount | None:
    """Return the account of the signed session, or None if this host knows that it has ended."""
    remembered = remembered_account(request)
    if remembered and get_mirror().has_ended(remembered):
        return None
    return remembered


def end_session_on_this_host(request: HttpRequest) -> None:
    """Sign the session out on this host. Other hosts know it after the journal was drained.

    Raises JournalError.
    """
    if remembered := known_account(request):
        browser = request.session.get(BROWSER_KEY, "")
        ended = EndedSession(remembered.pk, remembered.session_hash, remembered.session_id, browser)
        get_journal().save_ended_session(ended)
