"""Websockets: a page joins the groups of its place, and hears of each change of it."""

import asyncio
import json
from typing import Any
from uuid import UUID

from channels.generic.websocket import AsyncWebsocketConsumer
from django.conf import settings
from django.contrib.auth import SESSION_KEY
from django.template.loader import render_to_string
from django.utils import translation

from accounts.models import sockets_of
from accounts.sessions import SESSION_ID_KEY
from guests.passes.holders import PASSES_KEY
from guests.requests.pushes import event_group, places_group
from guests.requests.tickets import Ticket, push_group
from promo.emergency import QUEUED_SECONDS, session_has_ticket
from promo.kept_emails import kept_hint
from promo.limits.middleware import allows_handshake
from promo.rendering import ticket_context
from promo.sockets.handshakes import read_header, read_language, read_session
from promo.sockets.loaders import pass_loader, ticket_loader
from promo.sockets.messages import processing_message, ticket_message
from promo.ticket_access import FoundTicket, TicketAccess
from snap.channel_layer import GroupChannelLayer
from snap.limits.policy import SOCKETS, limited
from snap.observability import tracing
from snap.resilience.database import DatabaseUnavailableError

NORMAL_CLOSE = 1000
# Words for pages; static/js/ticket.js and static/js/pass.js know them. A page that reads
# "ask" requests its ticket now. One that reads "refresh <after> <spread>" loads itself again, after
# that time and a random part of the spread, both in seconds.
RELOAD_MESSAGE = "ask"
REFRESH_MESSAGE = "refresh {after} {spread:.1f}"
# Pages that load again in one second after a change of their event. A web host serves more than
# that beside its other requests. So 5,000 pages load within 25 seconds, and 50 within one.
REFRESHES_A_SECOND = 200
# A changed ticket is read again this often, a second apart, while the database is away: a process
# may push before this one knows that the database is back.
READ_ATTEMPTS = 5


@limited(read=SOCKETS)
class FollowingConsumer(AsyncWebsocketConsumer):
    """The base of all sockets: the groups that a page joins, and how its socket ends.

    Groups are joined without a query to Redis: each process is subscribed to all groups.
    """

    channel_layer: GroupChannelLayer
    groups: list[str] = []
    session_id = ""
    # The event of the place on the page, 0 while it is not known.
    event_id = 0
    is_finished = False

    async def connect(self) -> None:
        """Check the session before accepting, and join its groups before reading the place."""
        session = read_session(self.scope)
        # Handshakes without a session are not counted: they cost no query, and must not use up the
        # limit of their address.
        if not self.may_ask(session) or not allows_handshake(self.scope, session):
            await self.finish()
            return
        self.session_id = session.get(SESSION_ID_KEY, "")
        if account_id := session.get(SESSION_KEY):
            await self.join(sockets_of(account_id), places_group(account_id))
        with tracing.span("open socket", kind=type(self).__name__):
            await self.open(session)

    def may_ask(self, session: Any) -> bool:
        """Return whether a session may have what the path names. No query."""
        raise NotImplementedError

    async def open(self, session: Any) -> None:
        """Read the place. Accept if the session may see it, otherwise finish."""
        raise NotImplementedError

    async def accept_page(self) -> None:
        # Cleared in place, because uvicorn keeps the same list: a twentieth of an idle socket's
        # memory.
        headers: Any = self.scope["headers"]
        headers.clear()
        await self.accept()

    async def finish(self, code: int | None = None) -> None:
        """Close, and send nothing more. Before `accept` this refuses the handshake."""
        if not self.is_finished:
            self.is_finished = True
            await self.close(code)

    async def join(self, *groups: str) -> None:
        for group in groups:
            if group not in self.groups:
                self.groups = [*self.groups, group]
                await self.channel_layer.group_add(group, self.channel_name)

    async def follow(self, event_id: int, account_id: int | None = None) -> None:
        """Join the groups of the event and, if given, of the account whose place it is."""
        self.event_id = event_id
        await self.join(event_group(event_id))
        if account_id is not None:
            await self.join(sockets_of(account_id), places_group(account_id))

    async def dispatch(self, message: dict[str, Any]) -> None:
        """Handle a message. Those that only the next release knows are ignored."""
        name = message["type"].replace(".", "_")
        if hasattr(self, name):
            await super().dispatch(message)

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        """Ignore all messages from pages."""

    async def sessions_ended(self, message: dict[str, Any]) -> None:
        """Close without another state: this session, or all of its account, was signed out."""
        if message["session_id"] in {"", self.session_id}:
            await self.finish(NORMAL_CLOSE)

    async def place_changed(self, message: dict[str, Any]) -> None:
        """Handle a hint that a place of the account has changed, at this event or another."""
        if message["event_id"] == self.event_id and not self.is_finished:
            await self.refresh(after=0, spread=0)

    async def event_changed(self, message: dict[str, Any]) -> None:
        """Handle a hint that the event has changed."""
        if self.is_finished:
            return
        pages = self.channel_layer.count_members(event_group(self.event_id))
        # Web processes cache the event for LINK_SECONDS.
        await self.refresh(after=settings.LINK_SECONDS, spread=pages / REFRESHES_A_SECOND)

    async def refresh(self, *, after: float, spread: float) -> None:
        """Have the page load again, between `after` and `after + spread` seconds from now."""
        await self.send(text_data=REFRESH_MESSAGE.format(after=after, spread=spread))


class TicketConsumer(FollowingConsumer):
    """The base of both kinds of socket of a ticket. Subclasses render the states."""

    ticket_id: str
    host: str
    language: str
    kept_hint: str
    # Kept while the session may not see the whole ticket: its browser was given the ticket in an
    # emergency. Each push then makes the consumer read the ticket again.
    restricted_session: Any = None

    def may_ask(self, session: Any) -> bool:
        self.ticket_id = str(self.scope["url_route"]["kwargs"]["ticket_id"])
        return SESSION_KEY in session or session_has_ticket(session, UUID(self.ticket_id))

    async def open(self, session: Any) -> None:
        await self.join(push_group(self.ticket_id))
        found = await self.find_ticket(session)
        if found.access is TicketAccess.NOTHING:
            await self.finish()
            return
        self.host = read_header(self.scope, b"host")
        self.language = read_language(self.scope)
        self.kept_hint = kept_hint(session)
        await self.accept_page()
        await self.send_ticket(found, session)

    async def find_ticket(self, session: Any) -> FoundTicket:
        """Return the ticket as the session may see it; without the database, by its signature."""
        ticket_id = UUID(self.ticket_id)
        try:
            return await ticket_loader.find((ticket_id, session))
        except DatabaseUnavailableError:
            if session_has_ticket(session, ticket_id):
                return FoundTicket(TicketAccess.GIVEN)
            return FoundTicket(TicketAccess.NOTHING)

    async def send_ticket(self, found: FoundTicket, session: Any) -> None:
        """Send as much of the ticket as this session may see."""
        if found.stored is not None and found.access is not TicketAccess.GIVEN:
            await self.follow(found.stored.event_id, found.stored.account_id)
        if found.access is TicketAccess.ACCOUNT and found.ticket:
            self.restricted_session = None
            await self.send_state(found.ticket, found.wait)
        else:
            self.restricted_session = session
            await self.send_restricted(found)

    async def send_restricted(self, found: FoundTicket) -> None:
        """Send a ticket that the session's account does not own."""
        raise NotImplementedError

    async def ticket_changed(self, message: dict[str, Any]) -> None:
        """Handle a push to the ticket's group."""
        if self.restricted_session is None:
            await self.send_state(Ticket.from_message(message), 1)
        else:
            await self.reload()

    async def reload(self) -> None:
        """Show the ticket again, with the rights of the restricted session."""
        raise NotImplementedError

    async def send_state(self, ticket: Ticket, wait: int) -> None:
        """Send a state, and close after a last one. `wait`: estimated seconds until the next.

        Nothing is sent after a last state: a push can arrive after the state was read here.
        """
        if self.is_finished:
            return
        # Rendering takes half a millisecond of the event loop; a thread would cost as much.
        await self.send_text(self.render(ticket, wait))
        if self.is_last(ticket):
            await self.finish(NORMAL_CLOSE)

    async def send_text(self, text: str) -> None:
        await self.send(text_data=text)

    def is_last(self, ticket: Ticket) -> bool:
        """Return whether this kind of socket ends with a state."""
        raise NotImplementedError

    def render(self, ticket: Ticket, wait: int) -> str:
        raise NotImplementedError


class PageConsumer(TicketConsumer):
    """`/ws/promo/<ticket>/`: states as HTML, which HTMX swaps into the page.

    The socket stays open while the page shows a place: it can be cancelled, and the event can move.
    """

    def is_last(self, ticket: Ticket) -> bool:
        return not ticket.is_followed

    def render(self, ticket: Ticket, wait: int) -> str:
        with translation.override(self.language):
            context = {**ticket_context(ticket, wait=wait, host=self.host), "oob": True}
            context["kept_hint"] = self.kept_hint
            return render_to_string("promo/ticket.html#ticket", context)

    async def send_restricted(self, found: FoundTicket) -> None:
        """Make the page request its ticket, once there is something to see.

        The response to that request can sign in the browser that registered the account.
        """
        if found.ticket:
            await self.reload()

    async def reload(self) -> None:
        if not self.is_finished:
            await self.send(text_data=RELOAD_MESSAGE)


class UpdatesConsumer(TicketConsumer):
    """`/ws/guest-updates/<ticket>/`: states as JSON (docs/reference.md, Websockets).

    The socket closes after a final state.
    """

    session: Any = None
    # The last message, so that a hint that changes nothing here is not sent.
    sent = ""

    async def send_ticket(self, found: FoundTicket, session: Any) -> None:
        self.session = session
        await super().send_ticket(found, session)

    async def send_restricted(self, found: FoundTicket) -> None:
        if found.ticket:
            await self.send_state(found.ticket, found.wait)
        else:
            await self.send_text(json.dumps(processing_message(QUEUED_SECONDS)))

    async def refresh(self, *, after: float, spread: float) -> None:
        """Read the ticket again at once: sockets are read a hundred in one query."""
        await self.reload()

    async def reload(self) -> None:
        for _ in range(READ_ATTEMPTS):
            try:
                found = await ticket_loader.find((UUID(self.ticket_id), self.session))
            except DatabaseUnavailableError:
                await asyncio.sleep(1)
                continue
            if found.access is not TicketAccess.NOTHING:
                await self.send_ticket(found, self.session)
            return

    async def send_text(self, text: str) -> None:
        if text != self.sent:
            self.sent = text
            await self.send(text_data=text)

    def is_last(self, ticket: Ticket) -> bool:
        return ticket.is_final

    def render(self, ticket: Ticket, wait: int) -> str:
        with translation.override(self.language):
            return json.dumps(ticket_message(ticket, wait))


class PassConsumer(FollowingConsumer):
    """`/ws/pass/<token>/`: tells an open pass to load again. It sends nothing of the guest.

    It is for the holder of the pass: the guest's account, or a browser that opened the link from
    the email.
    """

    def may_ask(self, session: Any) -> bool:
        return SESSION_KEY in session or PASSES_KEY in session

    async def open(self, session: Any) -> None:
        token = self.scope["url_route"]["kwargs"]["token"]
        try:
            guest = await pass_loader.find((token, session))
        except DatabaseUnavailableError:
            guest = None
        if guest is None:
            await self.finish()
            return
        await self.follow(guest.event_id, guest.account_id)
        await self.accept_page()
