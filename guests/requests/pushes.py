"""Pushes to open pages: new states of tickets, and hints that a place or an event has changed.

A hint carries nothing that a guest may not see: the page asks for its new content itself, with its
own session. All functions push after the commit, and a push that fails is dropped (see
`notifications.push`).
"""

from collections.abc import Iterable, Sequence

from django.db import transaction

from guests.models import Guest, GuestRequest
from guests.requests.tickets import Ticket
from notifications.push import Message, push_many
from snap.observability import tracing


def event_group(event_id: int) -> str:
    """Return the name of the channel group of all pages that show a place at an event."""
    return f"event.{event_id}"


def places_group(account_id: object) -> str:
    """Return the name of the channel group of all pages that show a place of an account."""
    return f"places.{account_id}"


def push_tickets(tickets: Sequence[Ticket], requests: Sequence[GuestRequest] = ()) -> None:
    """Push the states of tickets to the pages that show them, after the commit.

    The push is part of the traces of `requests`.
    """
    _push_after_commit([(ticket.group, ticket.as_message()) for ticket in tickets], requests)


def push_places_changed(places: Iterable[Guest | GuestRequest]) -> None:
    """Make the pages that show these places load again, after the commit.

    Call it for each change of what a guest reads that `push_tickets` does not push. One message for
    each account and event, whatever their number of pages. No query.
    """
    changed = {(place.account_id, place.event_id) for place in places}
    messages: list[tuple[str, Message]] = []
    for account_id, event_id in sorted(changed):
        message = {"type": "place.changed", "event_id": event_id}
        messages.append((places_group(account_id), message))
    _push_after_commit(messages)


def push_event_changed(event_id: int) -> None:
    """Make all pages that show a place at an event load again, after the commit.

    One message for all pages. Each page waits for a random time, so that they do not load all at
    once (docs/reference.md, Websockets). No query.
    """
    _push_after_commit([(event_group(event_id), {"type": "event.changed"})])


def _push_after_commit(
    messages: list[tuple[str, Message]], requests: Sequence[GuestRequest] = ()
) -> None:
    def push() -> None:
        with tracing.continuing_each("push", requests):
            push_many(messages)

    if messages:
        transaction.on_commit(push, robust=True)
