"""The journey of a new guest from the promo link to the QR image, in a browser with HTMX."""

import asyncio
import itertools
import random
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from time import perf_counter
from urllib.parse import quote_plus

from tests.bench.wire import Browser, Response, Socket, WireError

STEPS = ("event", "phone", "register", "socket", "push", "image")
# From the registration, which makes the request, to the QR code on the screen.
REQUEST_TO_QR = "request to QR"
JOURNEY = "journey"

PNG = b"\x89PNG\r\n\x1a\n"
PNG_END = b"IEND\xaeB`\x82"
CSRF = re.compile(rb'name="csrfmiddlewaretoken" value="([^"]+)"')
STEP = re.compile(rb'name="step" value="([^"]+)"')
SOCKET = re.compile(rb'ws-connect="([^"]+)"')
IMAGE = re.compile(rb'data-state="created".*?<img src="([^"]+)"', re.DOTALL)
WAITING = b'data-state="waitlisted'
HTMX = b"HX-Request: true\r\nHX-Current-URL: %b\r\n"
NAMES = ("Rita", "Rui", "Marta", "Tiago", "Leonor", "Duarte")


class JourneyError(Exception):
    """A journey ended without a QR code. The text names the step and the reason."""


@dataclass(frozen=True)
class Phones:
    """Portuguese mobile numbers, each returned once."""

    numbers: "itertools.count[int]" = field(default_factory=lambda: itertools.count(910_000_000))

    def next(self) -> str:
        return str(next(self.numbers))


@dataclass(frozen=True)
class Pauses:
    """Bounds, in seconds, of the random pause of a person before a step."""

    shortest: float = 0.0
    longest: float = 0.0

    async def wait(self) -> None:
        if self.longest:
            await asyncio.sleep(random.uniform(self.shortest, self.longest))

    @property
    def a_journey(self) -> float:
        """The mean duration of all three pauses of a journey, in seconds."""
        return 3 * (self.shortest + self.longest) / 2


class Times:
    """The seconds of each step of all journeys that counted, and the errors of the others.

    Only journeys that end while `is_open` is true count.
    """

    def __init__(self, *, is_open: bool = True) -> None:
        self.is_open = is_open
        self.steps: dict[str, list[float]] = {}
        self.errors: list[str] = []

    def add(self, taken: dict[str, float]) -> None:
        if self.is_open:
            for step, seconds in taken.items():
                self.steps.setdefault(step, []).append(seconds)

    def failed(self, error: str) -> None:
        if self.is_open:
            self.errors.append(error)

    @property
    def journeys(self) -> int:
        return len(self.steps.get(JOURNEY, ()))


class Journey:
    """The journey of a guest whose phone has no account."""

    def __init__(self, url: str, event: str, phone: str, pauses: Pauses = Pauses()) -> None:
        self.url = url
        self.event_path = f"/promo/{event}/".encode()
        self.phone = phone
        self.pauses = pauses
        self.browser = Browser(url)
        self.taken: dict[str, float] = {}
        self._doing = ""

    async def run(self, limit: float = 30.0) -> dict[str, float]:
        """Go all steps and return the seconds of each.

        Raises JourneyError when a step fails, or when the QR image has not arrived within `limit`
        seconds. Pauses do not count.
        """
        try:
            async with asyncio.timeout(limit + self.pauses.longest * 3):
                await self._go()
        except (WireError, OSError, TimeoutError) as error:
            raise JourneyError(f"{self._doing}: {type(error).__name__} {error}".rstrip()) from error
        finally:
            self.browser.close()
        return self.taken

    async def _go(self) -> None:
        token = await self._event_page()
        await self.pauses.wait()
        await self.pauses.wait()
        hidden = await self._give_phone(token)
        await self.pauses.wait()
        registered_at = perf_counter()
        socket_url = await self._register(hidden)
        image = await self._code_over(socket_url)
        await self._fetch(image)
        self.taken[REQUEST_TO_QR] = perf_counter() - registered_at
        self.taken[JOURNEY] = sum(self.taken[step] for step in STEPS)

    async def _event_page(self) -> bytes:
        async with self._timed("event"):
            response = await self.browser.get(self.event_path)
        return self._find(CSRF, response.body, response.status)

    async def _give_phone(self, token: bytes) -> bytes:
        """Send the phone, and return the hidden fields of the next form, URL-encoded."""
        body = b"csrfmiddlewaretoken=%b&country=PT&phone=%b" % (token, self.phone.encode())
        async with self._timed("phone"):
            response = await self._send("phone", body)
        address = response.header(b"HX-Replace-Url").partition(b"?")[0]
        if not address.endswith(b"/register/"):
            raise JourneyError(f"phone: {response.status} {_words(response.body)}")
        token = self._find(CSRF, response.body, response.status)
        step = self._find(STEP, response.body, response.status)
        return b"csrfmiddlewaretoken=%b&step=%b" % (token, quote_plus(step).encode())

    async def _register(self, hidden: bytes) -> str:
        name = NAMES[int(self.phone) % len(NAMES)]
        email = quote_plus(f"g{self.phone}@example.com")
        body = b"%b&first_name=%b&last_name=Exemplo&email=%b" % (
            hidden,
            name.encode(),
            email.encode(),
        )
        async with self._timed("register"):
            response = await self._send("register", body)
        return self._find(SOCKET, response.body, response.status).decode()

    async def _code_over(self, socket_url: str) -> bytes:
        """Listen until the socket brings the QR code, and return the path of its image."""
        if socket_url.startswith("/"):
            socket_url = self.url.replace("http", "ws", 1) + socket_url
        async with self._timed("socket"):
            socket = await Socket.open(
                socket_url, origin=self.url.encode(), cookies=self.browser.cookie_header
            )
        try:
            async with self._timed("push"):
                last = b""
                while (text := await socket.receive()) is not None:
                    last = text
                    if found := IMAGE.search(text):
                        return found[1]
                    if WAITING in text:
                        raise JourneyError("push: no code, a place on the waiting list")
        finally:
            socket.close()
        raise JourneyError(f"push: the socket closed without a code: {_words(last)}")

    async def _fetch(self, image: bytes) -> None:
        async with self._timed("image"):
            response = await self.browser.get(image)
        if response.status != 200 or not is_png(response.body):
            raise JourneyError(f"image: {response.status}, {len(response.body)} bytes")

    async def _send(self, step: str, body: bytes) -> Response:
        """Send a form. After a 503 with Retry-After, wait and send it again, as the page does."""
        while True:
            response = await self.browser.post(self._step(step), body, self._htmx(self._step(step)))
            wait = response.header(b"Retry-After")
            if response.status != 503 or not wait:
                return response
            await asyncio.sleep(int(wait))

    def _step(self, name: str) -> bytes:
        return self.event_path + b"-/" + name.encode() + b"/"

    def _htmx(self, current: bytes) -> bytes:
        return HTMX % (self.url.encode() + current)

    def _find(self, what: "re.Pattern[bytes]", body: bytes, status: int) -> bytes:
        found = what.search(body)
        if status != 200 or found is None:
            raise JourneyError(f"{self._doing}: {status} {_words(body)}")
        return found[1]

    @asynccontextmanager
    async def _timed(self, step: str) -> AsyncIterator[None]:
        self._doing = step
        began = perf_counter()
        yield
        self.taken[step] = perf_counter() - began


def is_png(body: bytes) -> bool:
    """Return whether this is a complete PNG file."""
    return body.startswith(PNG) and body.endswith(PNG_END)


def _words(body: bytes) -> str:
    text = re.sub(rb"<head.*?</head>|<[^>]*>|\s+", b" ", body, flags=re.DOTALL)
    return " ".join(text.decode(errors="replace").split())[:160]


Start = Callable[[], Journey]


async def closed_loop(start: Start, users: int, times: Times, over: asyncio.Event) -> None:
    """Let users go one journey after the other until `over`. Journeys that have begun still end."""

    async def user(number: int) -> None:
        await asyncio.sleep(number * min(3.0, users / 100) / users)
        while not over.is_set():
            if not await _count(start(), times):
                # A user waits a moment after a failed journey.
                await asyncio.sleep(0.1)

    async with asyncio.TaskGroup() as group:
        for number in range(users):
            group.create_task(user(number))


async def open_loop(start: Start, rate: float, seconds: float, times: Times) -> int:
    """Let people arrive at `rate` a second for some seconds, and return how many arrived."""
    loop, arrived = asyncio.get_running_loop(), 0
    began = loop.time()
    async with asyncio.TaskGroup() as group:
        while (since := loop.time() - began) < seconds:
            while arrived < rate * since:
                group.create_task(_count(start(), times))
                arrived += 1
            await asyncio.sleep(0.005)
    return arrived


async def _count(journey: Journey, times: Times) -> bool:
    try:
        times.add(await journey.run())
    except JourneyError as error:
        times.failed(str(error))
        return False
    return True
