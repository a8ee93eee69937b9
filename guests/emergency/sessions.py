"""Sessions without the database: verified by signature, and by the sign-outs this host knows."""

from collections.abc import Mapping
from typing import Any

from accounts.sessions import BROWSER_KEY, RememberedAccount, remembered_account
from guests.emergency.entries import EndedSession
from guests.emergency.journal import get_journal
from guests.emergency.mirror import get_mirror


def known_account(session: Mapping[str, Any]) -> RememberedAccount | None:
    """Return the account of a signed session, or None if this host knows that it has ended."""
    remembered = remembered_account(session)
    if remembered and get_mirror().has_ended(remembered):
        return None
    return remembered


def end_session_on_this_host(session: Mapping[str, Any]) -> None:
    """Sign the session out on this host. Other hosts know it after the journal was drained.

    Raises JournalError.
    """
    if remembered := known_account(session):
        browser = session.get(BROWSER_KEY, "")
        ended = EndedSession(remembered.pk, remembered.session_hash, remembered.session_id, browser)
        get_journal().save_ended_session(ended)
