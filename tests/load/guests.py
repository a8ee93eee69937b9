"""Guests who are known before the load comes: accounts, live sessions, and places for some."""

from pathlib import Path

from guests.models import Event
from guests.requests.creating import create_due_guests
from tests.bench.bench import open_event
from tests.bench.people import make_accounts, make_due_requests, sessions_of


def prepare(path: Path, known: int, returning: int) -> Event:
    """Make an event and guests, and write their sessions where the load finds them.

    One line a guest: its kind and the session cookie's value.
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
