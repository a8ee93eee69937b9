"""Websockets: a page joins the group of its ticket and gets its present and later states."""

import json
from importlib import import_module
from typing import Any
from uuid import UUID

from channels.generic.websocket import AsyncWebsocketConsumer
from django.conf import settings
from django.contrib.auth import SESSION_KEY
from django.http import parse_cookie
from django.template.loader import render_to_string
from django.utils import translation

from accounts.models import sockets_of
from accounts.sessions import SESSION_ID_KEY
from guests.requests.tickets import Ticket, push_group
from promo.emergency import QUEUED_SECONDS, session_has_ticket
from promo.limits.middleware import allows_handshake
from promo.rendering import ticket_context
from promo.sockets.messages import processing_message, ticket_message
from promo.sockets.ticket_loader import TicketLoader
from promo.ticket_access import FoundTicket, TicketAccess
from snap.languages import choose_language
from snap.limits.policy import SOCKETS, limited
from snap.resilience.database import DatabaseUnavailableError

NORMAL_CLOSE = 1000
# Tells a page to request its ticket now; static/js/ticket.js knows the word.
RELOAD_MESSAGE = "ask"
SessionStore = import_module(settings.SESSION_ENGINE).SessionStore
ticket_loader = TicketLoader()


@limited(read=SOCKETS)
class TicketConsumer(AsyncWebsocketConsumer):
    """The base of both kinds of socket. Subclasses render the states."""

    ticket_id: str
    host: str
    language: str
    session_id: str
    groups: list[str] = []
    is_finished = False
    # Kept while the session may not see the whole ticket: its browser was given the ticket in an
    # emergency. Each push then makes the consumer read the ticket again.
    restricted_session: Any = None

    async def connect(self) -> None:
        """Check the session before accepting, and join the groups before reading the ticket."""
        self.ticket_id = str(self.scope["url_route"]["kwargs"]["ticket_id"])
        session = read_session(self.scope)
        is_known = SESSION_KEY in session or session_has_ticket(session, UUID(self.ticket_id))
        # Handshakes without a session are not counted: they cost no query, and must not use up the
        # limit of their address.
        if not is_known or not allows_handshake(self.scope, session):
            await self.close()
            return
        self.session_id = session.get(SESSION_ID_KEY, "")
        await self.join_groups(session)
        found = await self.find_ticket(session)
        if found.access is TicketAccess.NOTHING:
            await self.close()
            return
        self.host = read_header(self.scope, b"host")
        self.language = read_language(self.scope)
        # Cleared in place, because uvicorn keeps the same list: a twentieth of an idle socket's
        # memory.
        headers: Any = self.scope["headers"]
        headers.clear()
        await self.accept()
        await self.send_ticket(found, session)

    async def join_groups(self, session: Any) -> None:
        """Join the groups of the ticket and the account.

        This asks nothing of Redis: each process is subscribed to all groups.
        """
        self.groups = [push_group(self.ticket_id)]
        if account_id := session.get(SESSION_KEY):
            self.groups.append(sockets_of(account_id))
        for group in self.groups:
            await self.channel_layer.group_add(group, self.channel_name)

    async def find_ticket(self, session: Any) -> FoundTicket:
        """Return the ticket as the session may see it; without the database, by its signature."""
        ticket_id = UUID(self.ticket_id)
        try:
            return await ticket_loader.find(ticket_id, session)
        except DatabaseUnavailableError:
            if session_has_ticket(session, ticket_id):
                return FoundTicket(TicketAccess.GIVEN)
            return FoundTicket(TicketAccess.NOTHING)

    async def send_ticket(self, found: FoundTicket, session: Any) -> None:
        """Send as much of the ticket as this session may see."""
        if found.access is TicketAccess.ACCOUNT and found.ticket:
            self.restricted_session = None
            await self.send_state(found.ticket, found.wait)
        else:
            self.restricted_session = session
            await self.send_restricted(found)

    async def send_restricted(self, found: FoundTicket) -> None:
        """Send a ticket that the session's account does not own."""
        raise NotImplementedError

    async def disconnect(self, code: int) -> None:
        for group in self.groups:
            await self.channel_layer.group_discard(group, self.channel_name)

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        """Ignore all messages from pages."""

    async def ticket_changed(self, message: dict[str, Any]) -> None:
        """Handle a push to the ticket's group."""
        if self.restricted_session is None:
            await self.send_state(Ticket.from_message(message), 1)
        else:
            await self.reload()

    async def reload(self) -> None:
        """Read the ticket again, with the rights of the restricted session, and send it."""
        found = await self.find_ticket(self.restricted_session)
        if found.access is not TicketAccess.NOTHING:
            await self.send_ticket(found, self.restricted_session)

    async def sessions_ended(self, message: dict[str, Any]) -> None:
        """Close without another state: this session, or all of its account, was signed out."""
        if message["session_id"] in {"", self.session_id}:
            self.is_finished = True
            await self.close(NORMAL_CLOSE)

    async def send_state(self, ticket: Ticket, wait: int) -> None:
        """Send a state, and close after a final one. `wait`: estimated seconds until the next.

        Nothing is sent after a final state: a push can arrive after the state was read here.
        """
        if self.is_finished:
            return
        self.is_finished = ticket.is_final
        # Rendering takes half a millisecond of the event loop; a thread would cost as much.
        await self.send(text_data=self.render(ticket, wait))
        if ticket.is_final:
            await self.close(NORMAL_CLOSE)

    def render(self, ticket: Ticket, wait: int) -> str:
        raise NotImplementedError


class PageConsumer(TicketConsumer):
    """`/ws/promo/<ticket>/`: states as HTML, which HTMX swaps into the page."""

    def render(self, ticket: Ticket, wait: int) -> str:
        with translation.override(self.language):
            context = {**ticket_context(ticket, wait=wait, host=self.host), "oob": True}
            return render_to_string("promo/ticket.html#ticket", context)

    async def send_restricted(self, found: FoundTicket) -> None:
        """Make the page request its ticket, once there is something to see.

        The response to that request can sign in the browser that registered the account.
        """
        if found.ticket:
            await self.send(text_data=RELOAD_MESSAGE)

    async def reload(self) -> None:
        await self.send(text_data=RELOAD_MESSAGE)


class UpdatesConsumer(TicketConsumer):
    """`/ws/guest-updates/<ticket>/`: states as JSON (docs/reference.md, Websockets)."""

    async def send_restricted(self, found: FoundTicket) -> None:
        if found.ticket:
            await self.send_state(found.ticket, found.wait)
        else:
            await self.send(text_data=json.dumps(processing_message(QUEUED_SECONDS)))

    def render(self, ticket: Ticket, wait: int) -> str:
        with translation.override(self.language):
            return json.dumps(ticket_message(ticket, wait))


def read_session(scope: Any) -> Any:
    """Return the session in the cookie of the handshake, empty without a valid one."""
    return SessionStore(read_cookies(scope).get(settings.SESSION_COOKIE_NAME))


def read_cookies(scope: Any) -> dict[str, str]:
    """Return the cookies of the handshake, parsed as Django parses those of a request."""
    return parse_cookie(read_header(scope, b"cookie"))


def read_header(scope: Any, name: bytes) -> str:
    """Return a header of the handshake, "" without it."""
    for key, value in scope["headers"]:
        if key == name:
            return str(value, "latin-1")
    return ""


def read_language(scope: Any) -> str:
    """Return the language of the page that opened the socket."""
    return choose_language(
        cookie=read_cookies(scope).get(settings.LANGUAGE_COOKIE_NAME, ""),
        header=read_header(scope, b"accept-language"),
    )
