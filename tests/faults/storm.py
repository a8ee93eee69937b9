"""The storm client: many people who want in at once, by real HTTP, and a log of all they were told.

A person goes on with the same idempotency key until somebody has accepted their request. Then their
page is open until it shows the end, as static/js/ticket.js has it: one in LISTENERS has a socket,
the others only poll. Most use the JSON API with a session they had before; some
come by the pages and register. The client costs little: it runs beside the servers, and what is
measured is what they take.
"""

import asyncio
import json
import random
import re
import threading
import time
from dataclasses import dataclass, field
from http import HTTPStatus
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlencode
from uuid import uuid4

from django.conf import settings
from django.utils.crypto import get_random_string

from accounts.models import User
from guests.models import Event
from promo.emergency import QUEUED_SECONDS
from tests.bench import wire
from tests.bench.journey import STEP
from tests.factories import make_accounts
from tests.faults.pages import Page
from tests.helpers.sessions import session_of

CLIENT_TIMEOUT = 10.0  # seconds: above the 6 that nobody may wait, so that a failure shows
RETRY_AFTER = 0.5  # seconds; more impatient than the page, which waits as long as it is told
LISTENERS = 3  # one in so many pages has a socket
PROGRESS_EVERY = 5.0  # seconds
# All together ask again no more often: the generator must not starve the servers beside it. Of more
# people than that most have their socket, and wait as long after a 503 as it told them.
AGAIN_A_SECOND = 60
FORM = b"application/x-www-form-urlencoded"
KEPT_OPEN = 100  # connections that nobody uses at the moment
TICKET_IN_ADDRESS = re.compile(r"/ticket/([0-9a-f-]{36})/")


@dataclass(frozen=True)
class Answer:
    """What came back to one request, or why nothing did.

    `said` is accepted, ended (with a place at once), refused, code (prove the phone first), state
    (of a ticket), unavailable (503), error (any other status) or nothing (no answer). `at` is
    seconds since 1970, `seconds` how long it took, `level` that at which it was accepted, `step`
    what the form of the next step carries.
    """

    person: str
    key: str
    call: str
    said: str
    status: int
    at: float
    seconds: float
    ticket_id: str = ""
    guest_id: int = 0
    level: int = 0
    detail: str = ""
    step: str = ""

    @property
    def timed_out(self) -> bool:
        return self.detail == TimeoutError.__name__


@dataclass
class Person:
    """One phone and its browser. Who has no account yet comes by the pages."""

    phone: str
    cookies: dict[bytes, bytes] = field(default_factory=dict)
    comes_by_pages: bool = False

    def headers(self, **more: str) -> dict[str, str]:
        """Return what this person's browser sends along."""
        pairs = b"; ".join(name + b"=" + value for name, value in self.cookies.items())
        return {"Cookie": pairs.decode(), "X-CSRFToken": self.csrf_token.decode(), **more}

    @property
    def csrf_token(self) -> bytes:
        return self.cookies[settings.CSRF_COOKIE_NAME.encode()]


def sign_in(account: User) -> Person:
    """Return the account's person with the session that accounts.sessions.sign_in leaves."""
    person = newcomer(account.phone or "")
    person.cookies[settings.SESSION_COOKIE_NAME.encode()] = session_of(account).encode()
    return person


def newcomer(phone: str, *, comes_by_pages: bool = False) -> Person:
    token = {settings.CSRF_COOKIE_NAME.encode(): get_random_string(32).encode()}
    return Person(phone, token, comes_by_pages)


def make_people(size: int, *, newcomers: int = 10) -> list[Person]:
    """Return people, most with an account and a session; one in `newcomers` has to register."""
    accounts = iter(make_accounts(size))
    people = []
    for number, account in enumerate(accounts):
        if newcomers and number % newcomers == newcomers - 1:
            phone, account.phone = account.phone or "", None
            account.delete()
            people.append(newcomer(phone, comes_by_pages=True))
        else:
            people.append(sign_in(account))
    return people


class Storm:
    """People who arrive at `rate` a second for as long as the block lasts.

    At its end no more come, and those who are there get `patience` seconds to have their answer.
    No more than `at_once` are there together: what is measured is SNAP, not a queue before it.
    When all have come, those with an account come again and ask with a new key.
    """

    def __init__(
        self,
        url: str,
        event: Event,
        people: list[Person],
        *,
        rate: float = 12.0,
        at_once: int = 80,
        patience: float = 30.0,
        sockets: str = "",
        shows_progress: bool = False,
    ) -> None:
        """`sockets` is where the ws process listens; without it nobody has a socket."""
        # Names are looked up by few threads, and thousands of connections would wait for those.
        self.url = url.replace("localhost", "127.0.0.1")
        self.origin = url
        self.sockets = sockets
        self.event = event
        self.people = people
        self.rate = rate
        self.at_once = at_once
        self.patience = patience
        self.answers: list[Answer] = []
        self.keys: dict[str, str] = {}
        # When each ticket was given to a page, and when that page showed its end.
        self.opened: dict[str, float] = {}
        self.ended: dict[str, float] = {}
        self._shows_progress = shows_progress
        self._over = threading.Event()
        self._give_up = threading.Event()
        self._thread = threading.Thread(target=self._run, name="storm")
        self._failure: BaseException | None = None
        self._there = 0
        self._unused: list[wire.Browser] = []

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is None:
            self.wait()
        else:
            self._give_up.set()
            self._over.set()
            self._thread.join()

    def wait(self) -> None:
        """Let no more come, and wait for those who are there, as long as they have patience."""
        self._over.set()
        self._thread.join(self.patience)
        self._give_up.set()
        self._thread.join()
        if self._failure is not None:
            raise self._failure

    def nobody_else_comes(self) -> None:
        """Let no more people come; those who are there go on."""
        self._over.set()

    # What was heard -----------------------------------------------------------------------------

    def heard(self, *said: str) -> list[Answer]:
        """Return the answers so far that said one of these, in order."""
        return [answer for answer in list(self.answers) if answer.said in said]

    def slowest(self) -> Answer | None:
        """Return the answer that somebody waited longest for, in vain included.

        A connection that a killed process has reset is no answer, and nobody waits any longer.
        """
        waited_for = [a for a in list(self.answers) if a.status or a.timed_out]
        return max(waited_for, key=lambda answer: answer.seconds, default=None)

    # The people ---------------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            asyncio.run(self._storm())
        except BaseException as error:  # noqa: BLE001 (raised again where the block ends)
            self._failure = error

    async def _storm(self) -> None:
        await self._send(newcomer(""), b"GET", f"/promo/{self.event.slug}/")
        going: set[asyncio.Task[None]] = set()
        began, come = time.monotonic(), 0
        progress = asyncio.create_task(self._tell_progress())
        while not self._over.is_set():
            done = {task for task in going if task.done()}
            for task in done:
                task.result()
            going -= done
            while come < (time.monotonic() - began) * self.rate and len(going) < self.at_once:
                person = self.people[come % len(self.people)]
                if come < len(self.people) or not person.comes_by_pages:
                    going.add(asyncio.create_task(self._come(person)))
                come += 1
            self._there = len(going)
            await asyncio.sleep(0.02)
        while going and not self._give_up.is_set():
            _, going = await asyncio.wait(going, timeout=0.1)
            self._there = len(going)
        progress.cancel()
        for task in going:
            task.cancel()
        for result in await asyncio.gather(*going, return_exceptions=True):
            if isinstance(result, Exception):
                raise result
        for browser in self._unused:
            browser.close()

    async def _come(self, person: Person) -> None:
        key = str(uuid4())
        self.keys[key] = person.phone
        ask = self._register if person.comes_by_pages else self._ask
        while True:
            answer = await ask(person, key)
            if answer.said not in {"unavailable", "nothing", "error"}:
                break
            await self._a_while(RETRY_AFTER)
        if answer.said == "accepted":
            await self._follow(person, answer)

    async def _ask(self, person: Person, key: str) -> Answer:
        body = json.dumps({"event_id": self.event.pk}).encode()
        url = "/api/client-auth/guests/create-async"
        headers = b"Idempotency-Key: %b\r\n" % key.encode()
        return await self._call(person, key, "create", b"POST", url, body, headers)

    async def _register(self, person: Person, key: str) -> Answer:
        """Go from the phone form on, as HTMX does, to whatever step the server leads to."""
        steps = f"/promo/{self.event.slug}/-"
        answer = await self._submit(person, key, f"{steps}/phone/", {"phone": person.phone})
        if answer.said != "register":
            return answer
        names = {"first_name": "Rui", "last_name": "Exemplo", "step": answer.step}
        email = {"email": f"rui{person.phone[4:]}@example.com"}
        return await self._submit(person, key, f"{steps}/register/", names | email)

    async def _submit(self, person: Person, key: str, url: str, form: dict[str, str]) -> Answer:
        body = urlencode(form).encode()
        return await self._call(person, key, "page", b"POST", url, body, b"HX-Request: true\r\n")

    async def _follow(self, person: Person, accepted: Answer) -> None:
        """Have the page open until it shows the end."""
        ticket = accepted.ticket_id
        url = f"/api/client-auth/guests/requests/{ticket}"

        async def ask() -> str:
            answer = await self._call(person, accepted.key, "poll", b"GET", url, ticket_id=ticket)
            return answer.detail if answer.said == "state" else ""

        async def connect() -> wire.Socket:
            cookies = person.headers()["Cookie"].encode()
            address = f"{self.sockets}/ws/promo/{ticket}/"
            return await wire.Socket.open(address, origin=self.origin.encode(), cookies=cookies)

        listens = self.sockets and len(self.opened) % LISTENERS == 0
        self.opened[ticket] = max(self.opened.get(ticket, 0), accepted.at)
        shown = "queued" if accepted.level == 3 else "processing"
        await Page(shown, ask, connect if listens else None).follow()
        self.ended[ticket] = time.time()

    async def _tell_progress(self) -> None:
        began = time.monotonic()
        while self._shows_progress:
            await asyncio.sleep(PROGRESS_EVERY)
            slowest = self.slowest()
            print(
                f"  {time.monotonic() - began:4.0f} s: {len(self.keys)} came, {self._there} are"
                f" there, {len(self.opened)} pages, {len(self.ended)} show the end, slowest answer"
                f" {slowest.seconds if slowest else 0:.1f} s",
                flush=True,
            )

    async def _a_while(self, seconds: float) -> None:
        """Wait about so long, or longer when many are there."""
        await asyncio.sleep(max(seconds, self._there / AGAIN_A_SECOND) * random.uniform(0.5, 1.5))

    async def _call(
        self,
        person: Person,
        key: str,
        call: str,
        method: bytes,
        url: str,
        body: bytes = b"",
        headers: bytes = b"",
        **known: Any,
    ) -> Answer:
        began = time.monotonic()
        try:
            response = await self._send(person, method, url, body, headers)
        except (wire.WireError, OSError) as error:
            heard: dict[str, Any] = {"said": "nothing", "status": 0, "detail": type(error).__name__}
        else:
            heard = {**known, **_read(call, response)}
        answer = Answer(
            person=person.phone,
            key=key,
            call=call,
            at=time.time(),
            seconds=time.monotonic() - began,
            **(known | heard),
        )
        self.answers.append(answer)
        return answer

    async def _send(
        self, person: Person, method: bytes, url: str, body: bytes = b"", headers: bytes = b""
    ) -> wire.Answer:
        """Ask over a connection that nobody uses, with the person's cookies. Raises TimeoutError,
        OSError, WireError.
        """
        browser = self._unused.pop() if self._unused else wire.Browser(self.url)
        browser.cookies = person.cookies
        try:
            async with asyncio.timeout(CLIENT_TIMEOUT):
                if method == b"GET":
                    answer = await browser.get(url.encode(), headers)
                else:
                    kind = b"application/json" if body.startswith(b"{") else FORM
                    headers += b"X-CSRFToken: %b\r\n" % person.csrf_token
                    answer = await browser.post(url.encode(), body, headers, kind)
        except BaseException:
            browser.close()
            raise
        if len(self._unused) < KEPT_OPEN:
            self._unused.append(browser)
        else:
            browser.close()
        return answer


def _read(call: str, response: wire.Answer) -> dict[str, Any]:
    """Say what an answer means, as the fields of an Answer."""
    status = response.status
    if status == HTTPStatus.SERVICE_UNAVAILABLE:
        return {"said": "unavailable", "status": status}
    if status >= 500 or status in {401, 404}:
        return {"said": "error", "status": status, "detail": response.body[:200].decode()}
    read = {"create": _read_create, "poll": _read_poll, "page": _read_page}[call]
    return {"status": status, **read(response)}


def _read_create(response: wire.Answer) -> dict[str, Any]:
    body = json.loads(response.body)
    if response.status == HTTPStatus.ACCEPTED:
        level = 3 if body["estimated_time"] == QUEUED_SECONDS else 1
        return {"said": "accepted", "ticket_id": body["ticketId"], "level": level}
    if response.status == HTTPStatus.OK:
        level = 1 if body.get("isExisting") else 2
        return {"said": "ended", "guest_id": body["data"]["id"], "level": level}
    return {"said": "refused", "detail": body["code"]}


def _read_poll(response: wire.Answer) -> dict[str, Any]:
    return {"said": "state", "detail": json.loads(response.body).get("state", "")}


def _read_page(response: wire.Answer) -> dict[str, Any]:
    address = response.header(b"hx-push-url").decode().partition("?")[0]
    if found := TICKET_IN_ADDRESS.search(address):
        level = 3 if response.status == HTTPStatus.ACCEPTED else 1
        return {"said": "accepted", "ticket_id": found[1], "level": level}
    for step in ("register", "code"):
        if address.endswith(f"/{step}/"):
            carried = STEP.search(response.body)
            return {"said": step, "step": carried[1].decode() if carried else ""}
    return {"said": "refused", "detail": re.sub(r"\s+", " ", response.body.decode())[:200]}
