"""A browser that goes the steps of an event with HTMX, from the forms that it finds in pages."""

import asyncio
import json
from base64 import b64encode
from dataclasses import dataclass, field
from html.parser import HTMLParser
from urllib.parse import urlencode, urlsplit

from altcha import Challenge, Payload, solve_challenge

from guests.models import Event
from tests.bench.wire import Browser, Response

LONGEST_CALL = 30.0


@dataclass(frozen=True)
class Form:
    action: str
    hidden: dict[str, str] = field(default_factory=dict)
    challenge: str = ""

    @property
    def step(self) -> str:
        """The last part of its address."""
        return urlsplit(self.action).path.rstrip("/").rpartition("/")[2]


class _Forms(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[Form] = []
        self.links: list[str] = []
        self._is_open = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag == "form":
            self.found.append(Form(given.get("action", ""), {}, given.get("data-challenge", "")))
            self._is_open = True
        elif tag == "input" and self._is_open and given.get("type") == "hidden":
            self.found[-1].hidden[given.get("name", "")] = given.get("value", "")
        elif tag == "a":
            self.links.append(given.get("href", ""))

    def handle_endtag(self, tag: str) -> None:
        if tag == "form":
            self._is_open = False


def forms_of(body: bytes) -> list[Form]:
    parser = _Forms()
    parser.feed(body.decode(errors="replace"))
    return parser.found


def links_of(body: bytes) -> list[str]:
    parser = _Forms()
    parser.feed(body.decode(errors="replace"))
    return parser.links


def form_of(response: Response, step: str) -> Form | None:
    """Return the form of a response that leads to a step, or that has a challenge."""
    for form in forms_of(response.body):
        if step == "challenge" and form.challenge:
            return form
        if step != "challenge" and form.step == step:
            return form
    return None


def has_ticket(response: Response) -> bool:
    return response.status == 200 and (
        b"ws-connect=" in response.body or b"data-state=" in response.body
    )


class Caller:
    """A browser behind an address that goes the steps of an event with HTMX."""

    def __init__(self, url: str, event: Event, address: str) -> None:
        self.browser = Browser(url)
        self.event_path = f"/promo/{event.slug}/"
        self.address = address
        self.solved = 0
        self._phone_form: Form | None = None

    def close(self) -> None:
        self.browser.close()

    async def get(self, path: str) -> Response:
        return await self._follow("GET", path, b"")

    async def send(self, form: Form, **fields: str) -> Response:
        body = urlencode(form.hidden | fields).encode()
        return await self._follow("POST", form.action, body)

    async def give_phone(self, phone: str) -> Response:
        """Send the phone form. The first time, fetch it with the page of the event."""
        if self._phone_form is None:
            page = await self.get(self.event_path)
            self._phone_form = form_of(page, "phone")
            if self._phone_form is None:
                return page
        return await self.send(self._phone_form, country="PT", phone=phone)

    async def past_challenge(self, refused: Response) -> Response | None:
        """Solve the challenge of a response, and return the next response, or None without one."""
        form = form_of(refused, "challenge")
        if form is None:
            return None
        posed = await self.get(form.challenge)
        if posed.status != 200:
            return None
        solution = await asyncio.to_thread(_solve, posed.body)
        self.solved += 1
        return await self.send(form, altcha=solution)

    async def _follow(self, method: str, path: str, body: bytes) -> Response:
        for _ in range(6):
            response = await self._ask(method, path, body)
            htmx_redirect = response.header(b"hx-redirect")
            location = response.header(b"location") or htmx_redirect
            if not location or (response.status < 300 and not htmx_redirect):
                return response
            parts = urlsplit(location.decode())
            path = parts.path + (f"?{parts.query}" if parts.query else "")
            if response.status != 307:
                method, body = "GET", b""
        return response

    async def _ask(self, method: str, path: str, body: bytes) -> Response:
        headers = b"X-Forwarded-For: %b\r\nHX-Request: true\r\nHX-Current-URL: %b\r\n" % (
            self.address.encode(),
            (self.browser.url + self.event_path).encode(),
        )
        async with asyncio.timeout(LONGEST_CALL):
            if method == "GET":
                return await self.browser.get(path.encode(), headers)
            return await self.browser.post(path.encode(), body, headers)


def _solve(posed: bytes) -> str:
    challenge = Challenge.from_dict(json.loads(posed))
    solution = solve_challenge(challenge)
    assert solution is not None
    return b64encode(json.dumps(Payload(challenge, solution).to_dict()).encode()).decode()
