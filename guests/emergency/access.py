"""Who is on the other end while the database is away: by the session and this host's mirror."""

from django.http import HttpRequest

from accounts.sessions import BROWSER_KEY, RememberedAccount, remembered_account
from guests.emergency.journal import EndedSession, get_journal
from guests.emergency.mirror import get_mirror


def known_account(request: HttpRequest) -> RememberedAccount | None:
    """Return the account that the session's signature names, unless this host knows that the
    session has ended."""
    remembered = remembered_account(request)
    if remembered and get_mirror().has_ended(remembered):
        return None
    return remembered


def end_session_here(request: HttpRequest) -> None:
    """Keep in this host's journal that the session has signed out. This host knows it at once, the
    others when the journal is drained. Raises JournalError."""
    if remembered := known_account(request):
        browser = request.session.get(BROWSER_KEY, "")
        ended = EndedSession(remembered.pk, remembered.session_hash, remembered.session_id, browser)
        get_journal().end_session(ended)
