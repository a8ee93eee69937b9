"""The storm: many people ask for places at the same time over HTTP, and all responses are kept.

A person repeats a request with the same idempotency key until it is accepted. Then the ticket page
stays open until it shows the end, as static/js/ticket.js does. One page in LISTENERS has a socket;
the others only poll. Most people use the JSON API with an earlier session; some register by the
pages. The client needs little CPU, because it runs beside the servers that it measures.
"""

import asyncio
import json
import random
import re
import threading
import time
from dataclasses import dataclass
from http import HTTPStatus
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlencode
from uuid import uuid4

from guests.models import Event
from promo.emergency import QUEUED_SECONDS
from tests.bench import wire
from tests.bench.journey import STEP
from tests.faults.pages import Page
from tests.faults.people import Person, newcomer

CLIENT_TIMEOUT = 10.0  # seconds: longer than the 6 that are promised, so a failure shows
RETRY_AFTER = 0.5  # seconds; shorter than the Retry-After that a page obeys
LISTENERS = 3  # One in this number of pages has a socket.
PROGRESS_EVERY = 5.0  # seconds
# All people together retry at most this often, so the client does not take the CPU of the servers.
RETRIES_PER_SECOND = 60
FORM = b"application/x-www-form-urlencoded"
MAX_IDLE_CONNECTIONS = 100
TICKET_IN_ADDRESS = re.compile(r"/ticket/([0-9a-f-]{36})/")


@dataclass(frozen=True)
class Response:
    """The response to one request, or the reason why there is none.

    `outcome` is accepted, ended (with a place), refused, code (a proof is needed), state (of a
    ticket), unavailable (503), error (another status), nothing (no response) or the next step.
    `at` is seconds since 1970, `seconds` the duration, `level` the level of service that accepted
    the request, `step` the hidden field of the next form.
    """

    person: str
    key: str
    call: str
    outcome: str
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


class Storm:
    """People who arrive at `rate` a second until the block ends.

    At its end arrivals stop, and the people who are there have `patience` seconds to finish.
    At most `at_once` people are there at the same time, so no queue forms in front of SNAP. When
    all people have arrived, those with an account arrive again with a new key.
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
        """`sockets` is the address of the ws process. Without it no page has a socket."""
        # Few threads resolve names, and thousands of connections would wait for them.
        self.url = url.replace("localhost", "127.0.0.1")
        self.origin = url
        self.sockets = sockets
        self.event = event
        self.people = people
        self.rate = rate
        self.at_once = at_once
        self.patience = patience
        self.responses: list[Response] = []
        self.keys: dict[str, str] = {}
        # When the page of each ticket opened, and when it showed the end.
        self.opened: dict[str, float] = {}
        self.ended: dict[str, float] = {}
        self._shows_progress = shows_progress
        self._over = threading.Event()
        self._give_up = threading.Event()
        self._thread = threading.Thread(target=self._run, name="storm")
        self._failure: BaseException | None = None
        self._there = 0
        self._idle: list[wire.Browser] = []

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
        """Stop arrivals, and wait `patience` seconds for the people who are there."""
        self._over.set()
        self._thread.join(self.patience)
        self._give_up.set()
        self._thread.join()
        if self._failure is not None:
            raise self._failure

    def stop_arrivals(self) -> None:
        """Stop arrivals. The people who are there go on."""
        self._over.set()

    # Responses ----------------------------------------------------------------------------------

    def responses_with(self, *outcomes: str) -> list[Response]:
        """Return the responses so far with one of these outcomes, in order."""
        return [response for response in list(self.responses) if response.outcome in outcomes]

    def slowest(self) -> Response | None:
        """Return the response with the longest wait, timeouts included.

        A connection that a killed process has reset is not a wait.
        """
        slowest: Response | None = None
        for response in list(self.responses):
            was_waited_for = response.status or response.timed_out
            if was_waited_for and (slowest is None or response.seconds > slowest.seconds):
                slowest = response
        return slowest

    # Visits -------------------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            asyncio.run(self._storm())
        except BaseException as error:  # noqa: BLE001 (the end of the block raises it)
            self._failure = error

    async def _storm(self) -> None:
        await self._send(newcomer(""), b"GET", f"/promo/{self.event.slug}/")
        progress = asyncio.create_task(self._print_progress())
        visits = await self._let_arrive()
        while visits and not self._give_up.is_set():
            _, visits = await asyncio.wait(visits, timeout=0.1)
            self._there = len(visits)
        progress.cancel()
        for task in visits:
            task.cancel()
        for result in await asyncio.gather(*visits, return_exceptions=True):
            if isinstance(result, Exception):
                raise result
        for browser in self._idle:
            browser.close()

    async def _let_arrive(self) -> set[asyncio.Task[None]]:
        """Start a visit for each person who arrives, and return those that have not ended."""
        visits: set[asyncio.Task[None]] = set()
        began, arrived = time.monotonic(), 0
        while not self._over.is_set():
            done = {task for task in visits if task.done()}
            for task in done:
                task.result()
            visits -= done
            while arrived < (time.monotonic() - began) * self.rate and len(visits) < self.at_once:
                person = self.people[arrived % len(self.people)]
                if arrived < len(self.people) or not person.registers:
                    visits.add(asyncio.create_task(self._visit(person)))
                arrived += 1
            self._there = len(visits)
            await asyncio.sleep(0.02)
        return visits

    async def _visit(self, person: Person) -> None:
        key = str(uuid4())
        self.keys[key] = person.phone
        request = self._register if person.registers else self._request_place
        while True:
            response = await request(person, key)
            if response.outcome not in {"unavailable", "nothing", "error"}:
                break
            await self._pause(RETRY_AFTER)
        if response.outcome == "accepted":
            await self._follow(person, response)

    async def _request_place(self, person: Person, key: str) -> Response:
        body = json.dumps({"event_id": self.event.pk}).encode()
        url = "/api/client-auth/guests/create-async"
        headers = b"Idempotency-Key: %b\r\n" % key.encode()
        return await self._call(person, key, "create", b"POST", url, body, headers)

    async def _register(self, person: Person, key: str) -> Response:
        """Send the phone form and the registration form, as HTMX does."""
        steps = f"/promo/{self.event.slug}/-"
        response = await self._submit(person, key, f"{steps}/phone/", {"phone": person.phone})
        if response.outcome != "register":
            return response
        names = {"first_name": "Rui", "last_name": "Exemplo", "step": response.step}
        email = {"email": f"rui{person.phone[4:]}@example.com"}
        return await self._submit(person, key, f"{steps}/register/", names | email)

    async def _submit(self, person: Person, key: str, url: str, form: dict[str, str]) -> Response:
        body = urlencode(form).encode()
        return await self._call(person, key, "page", b"POST", url, body, b"HX-Request: true\r\n")

    async def _follow(self, person: Person, accepted: Response) -> None:
        """Keep the ticket page open until it shows the end."""
        ticket = accepted.ticket_id
        url = f"/api/client-auth/guests/requests/{ticket}"

        async def poll() -> str:
            response = await self._call(person, accepted.key, "poll", b"GET", url, ticket_id=ticket)
            return response.detail if response.outcome == "state" else ""

        async def connect() -> wire.Socket:
            cookies = person.headers()["Cookie"].encode()
            address = f"{self.sockets}/ws/promo/{ticket}/"
            return await wire.Socket.open(address, origin=self.origin.encode(), cookies=cookies)

        has_socket = self.sockets and len(self.opened) % LISTENERS == 0
        self.opened[ticket] = max(self.opened.get(ticket, 0), accepted.at)
        shown = "queued" if accepted.level == 3 else "processing"
        await Page(shown, poll, connect if has_socket else None).follow()
        self.ended[ticket] = time.time()

    async def _print_progress(self) -> None:
        began = time.monotonic()
        while self._shows_progress:
            await asyncio.sleep(PROGRESS_EVERY)
            slowest = self.slowest()
            print(
                f"  {time.monotonic() - began:4.0f} s: {len(self.keys)} arrived, {self._there} are"
                f" there, {len(self.opened)} pages, {len(self.ended)} show the end, slowest"
                f" response {slowest.seconds if slowest else 0:.1f} s",
                flush=True,
            )

    async def _pause(self, seconds: float) -> None:
        """Wait about `seconds`, and longer when many people are there."""
        longest = max(seconds, self._there / RETRIES_PER_SECOND)
        await asyncio.sleep(longest * random.uniform(0.5, 1.5))

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
    ) -> Response:
        began = time.monotonic()
        try:
            received = await self._send(person, method, url, body, headers)
        except (wire.WireError, OSError) as error:
            known |= {"outcome": "nothing", "status": 0, "detail": type(error).__name__}
        else:
            known |= _read(call, received)
        response = Response(
            person=person.phone,
            key=key,
            call=call,
            at=time.time(),
            seconds=time.monotonic() - began,
            **known,
        )
        self.responses.append(response)
        return response

    async def _send(
        self, person: Person, method: bytes, url: str, body: bytes = b"", headers: bytes = b""
    ) -> wire.Response:
        """Send a request over an idle connection, with the cookies of a person.

        Raises TimeoutError, OSError and WireError.
        """
        browser = self._idle.pop() if self._idle else wire.Browser(self.url)
        browser.cookies = person.cookies
        try:
            async with asyncio.timeout(CLIENT_TIMEOUT):
                if method == b"GET":
                    response = await browser.get(url.encode(), headers)
                else:
                    kind = b"application/json" if body.startswith(b"{") else FORM
                    headers += b"X-CSRFToken: %b\r\n" % person.csrf_token
                    response = await browser.post(url.encode(), body, headers, kind)
        except BaseException:
            browser.close()
            raise
        if len(self._idle) < MAX_IDLE_CONNECTIONS:
            self._idle.append(browser)
        else:
            browser.close()
        return response


def _read(call: str, response: wire.Response) -> dict[str, Any]:
    """Return the fields of a Response that HTTP gives."""
    status = response.status
    if status == HTTPStatus.SERVICE_UNAVAILABLE:
        return {"outcome": "unavailable", "status": status}
    if status >= 500 or status in {401, 404}:
        return {"outcome": "error", "status": status, "detail": response.body[:200].decode()}
    read = {"create": _read_create, "poll": _read_poll, "page": _read_page}[call]
    return {"status": status, **read(response)}


def _read_create(response: wire.Response) -> dict[str, Any]:
    body = json.loads(response.body)
    if response.status == HTTPStatus.ACCEPTED:
        level = 3 if body["estimated_time"] == QUEUED_SECONDS else 1
        return {"outcome": "accepted", "ticket_id": body["ticketId"], "level": level}
    if response.status == HTTPStatus.OK:
        level = 1 if body.get("isExisting") else 2
        return {"outcome": "ended", "guest_id": body["data"]["id"], "level": level}
    return {"outcome": "refused", "detail": body["code"]}


def _read_poll(response: wire.Response) -> dict[str, Any]:
    return {"outcome": "state", "detail": json.loads(response.body).get("state", "")}


def _read_page(response: wire.Response) -> dict[str, Any]:
    address = response.header(b"hx-push-url").decode().partition("?")[0]
    if found := TICKET_IN_ADDRESS.search(address):
        level = 3 if response.status == HTTPStatus.ACCEPTED else 1
        return {"outcome": "accepted", "ticket_id": found[1], "level": level}
    for step in ("register", "code"):
        if address.endswith(f"/{step}/"):
            carried = STEP.search(response.body)
            return {"outcome": step, "step": carried[1].decode() if carried else ""}
    return {"outcome": "refused", "detail": re.sub(r"\s+", " ", response.body.decode())[:200]}
