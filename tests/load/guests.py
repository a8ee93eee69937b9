"""Guests with an account before the load begins: sessions for all, and places for some."""

from pathlib import Path

from guests.models import Event
from guests.requests.creating import create_due_guests
from tests.bench.bench import open_event
from tests.bench.people import make_accounts, make_due_requests, sessions_of


def prepare(path: Path, known: int, returning: int) -> Event:
    """Make an event and guests, and write their sessions to a file for Locust.

    A line has the kind of a guest and the value of the session cookie.
    """
    event = open_event("load")
    lines = []
    for kind, size in (("known", known), ("returning", returning)):
        accounts = make_accounts(size) if size else []
        if kind == "returning" and accounts:
            make_due_requests(event, accounts)
            create_due_guests()
        lines += [f"{kind} {session.decode()}\n" for session in sessions_of(accounts).values()]
    path.write_text("".join(lines))
    return event
