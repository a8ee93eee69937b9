"""Websockets: a page joins the group of its ticket, hears its present state, then what comes."""

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
from django.utils.translation.trans_real import (
    get_supported_language_variant,
    parse_accept_lang_header,
)

from accounts.models import sockets_of
from accounts.sessions import SESSION_ID_KEY
from guests.requests.tickets import Ticket, push_group
from promo.emergency import QUEUED_SECONDS, session_has_ticket
from promo.limits.middleware import allows_handshake
from promo.refusals import refusal_text
from promo.rendering import ticket_context
from promo.sockets.ticket_loader import TicketLoader
from promo.ticket_access import FoundTicket, TicketAccess
from snap.limits.policy import SOCKETS, limited
from snap.resilience.database import DatabaseAwayError

NORMAL_CLOSE = 1000
# Tells a page to ask for its ticket now; static/js/ticket.js knows it.
ASK = "ask"
SessionStore = import_module(settings.SESSION_ENGINE).SessionStore
lookups = TicketLoader()


@limited(read=SOCKETS)
class TicketConsumer(AsyncWebsocketConsumer):
    """What both kinds of socket do; they differ in how they put a state into words."""

    ticket_id: str
    host: str
    language: str
    session_id: str
    groups: list[str] = []
    has_told_the_end = False
    # The session of a browser that was given the ticket in an emergency, while it may see no more.
    session: Any = None

    async def connect(self) -> None:
        """Authenticate and authorise before accepting; join the group before reading the ticket."""
        self.ticket_id = str(self.scope["url_route"]["kwargs"]["ticket_id"])
        session = read_session(self.scope)
        is_somebody = SESSION_KEY in session or session_has_ticket(session, UUID(self.ticket_id))
        # Those without a session are not counted: they cost no look-up, and shut nobody out.
        if not is_somebody or not allows_handshake(self.scope, session):
            await self.close()
            return
        self.session_id = session.get(SESSION_ID_KEY, "")
        # Neither asks Redis: a process hears all groups.
        self.groups = [push_group(self.ticket_id)]
        if account_id := session.get(SESSION_KEY):
            self.groups.append(sockets_of(account_id))
        for group in self.groups:
            await self.channel_layer.group_add(group, self.channel_name)
        found = await self.find(session)
        if found.sight is TicketAccess.NOTHING:
            await self.close()
            return
        self.host, self.language = header(self.scope, b"host"), language_of(self.scope)
        # In place, since uvicorn holds them too: a twentieth of what an idle socket takes.
        headers: Any = self.scope["headers"]
        headers.clear()
        await self.accept()
        await self.show(found, session)

    async def find(self, session: Any) -> FoundTicket:
        """Return what the session may see. Without the database it is what its signature says."""
        ticket_id = UUID(self.ticket_id)
        try:
            return await lookups.find(ticket_id, session)
        except DatabaseAwayError:
            is_given = session_has_ticket(session, ticket_id)
            return FoundTicket(TicketAccess.GIVEN if is_given else TicketAccess.NOTHING)

    async def show(self, found: FoundTicket, session: Any) -> None:
        """Send the ticket as far as this session may see it.

        While that is not everything, the session is kept: a push is then no news, but a reason to
        look again.
        """
        if found.sight is TicketAccess.ACCOUNT and found.ticket:
            self.session = None
            await self.tell(found.ticket, found.wait)
        else:
            self.session = session
            await self.show_in_part(found)

    async def show_in_part(self, found: FoundTicket) -> None:
        """Send a ticket that the session's account does not own."""
        raise NotImplementedError

    async def disconnect(self, code: int) -> None:
        for group in self.groups:
            await self.channel_layer.group_discard(group, self.channel_name)

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        """Pages have nothing to say."""

    async def ticket_changed(self, message: dict[str, Any]) -> None:
        if self.session is None:
            await self.tell(Ticket.from_message(message), 1)
        else:
            await self.look_again()

    async def look_again(self) -> None:
        """Read the ticket anew with the rights of the session."""
        found = await self.find(self.session)
        if found.sight is not TicketAccess.NOTHING:
            await self.show(found, self.session)

    async def sessions_ended(self, message: dict[str, Any]) -> None:
        """Close, and send nothing more: this session, or all of its account, was signed out."""
        if message["session_id"] in {"", self.session_id}:
            self.has_told_the_end = True
            await self.close(NORMAL_CLOSE)

    async def tell(self, ticket: Ticket, wait: int) -> None:
        """Send a state, and close after the last one: a push may come after it was read here."""
        if self.has_told_the_end:
            return
        self.has_told_the_end = ticket.is_final
        # Half a millisecond on the event loop's own thread: handing it to another costs as much.
        await self.send(text_data=self.put(ticket, wait))
        if ticket.is_final:
            await self.close(NORMAL_CLOSE)

    def put(self, ticket: Ticket, wait: int) -> str:
        raise NotImplementedError


class PageConsumer(TicketConsumer):
    """`/ws/promo/<ticket>/`: states as HTML, to be swapped in by HTMX."""

    def put(self, ticket: Ticket, wait: int) -> str:
        with translation.override(self.language):
            context = {**ticket_context(ticket, wait=wait, host=self.host), "oob": True}
            return render_to_string("promo/ticket.html#ticket", context)

    async def show_in_part(self, found: FoundTicket) -> None:
        """Have the page ask by itself, once there is something to see.

        The answer to its own request can sign in the browser that registered the account.
        """
        if found.ticket:
            await self.send(text_data=ASK)

    async def look_again(self) -> None:
        await self.send(text_data=ASK)


class UpdatesConsumer(TicketConsumer):
    """`/ws/guest-updates/<ticket>/`: states as JSON (docs/reference.md, Websockets)."""

    async def show_in_part(self, found: FoundTicket) -> None:
        if found.ticket:
            await self.tell(found.ticket, found.wait)
        else:
            queued = {"type": "guest_processing", "estimated_completion": QUEUED_SECONDS}
            await self.send(text_data=json.dumps(queued))

    def put(self, ticket: Ticket, wait: int) -> str:
        with translation.override(self.language):
            return json.dumps(message_about(ticket, wait))


def message_about(ticket: Ticket, wait: int) -> dict[str, Any]:
    """Return the JSON message for a state (docs/reference.md, Websockets)."""
    match ticket.state:
        case "created":
            data = {"id": ticket.guest_id, "qr_code_url": ticket.qr_code_url}
            return {"type": "guest_created", "success": True, "data": data}
        case "waitlisted":
            data = {"position": ticket.position}
            return {"type": "guest_waitlisted", "success": True, "data": data}
        case "refused" | "cancelled" | "failed" | "unproven" | "by_email" | "registered_elsewhere":
            code = ticket.refusal or ticket.state
            error = refusal_text(code)
            return {"type": "guest_creation_failed", "success": False, "error": error, "code": code}
        case _:
            line = {"position": ticket.position} if ticket.position else {}
            return {"type": "guest_processing", "estimated_completion": wait, **line}


def read_session(scope: Any) -> Any:
    """Return the session in the cookie of the handshake, empty without a valid one."""
    return SessionStore(read_cookies(scope).get(settings.SESSION_COOKIE_NAME))


def read_cookies(scope: Any) -> dict[str, str]:
    """Return the cookies of the handshake, read as Django reads those of a request."""
    return parse_cookie(header(scope, b"cookie"))


def header(scope: Any, name: bytes) -> str:
    values = (value for key, value in scope["headers"] if key == name)
    return next(values, b"").decode("latin-1")


def language_of(scope: Any) -> str:
    """Return the language of the page that opened the socket, as LocaleMiddleware would."""
    chosen = read_cookies(scope).get(settings.LANGUAGE_COOKIE_NAME)
    wanted = [chosen] if chosen else []
    accepted = parse_accept_lang_header(header(scope, b"accept-language"))
    wanted += [code for code, _ in accepted if code != "*"]
    for code in wanted:
        try:
            return get_supported_language_variant(code)
        except LookupError:
            continue
    return settings.LANGUAGE_CODE
