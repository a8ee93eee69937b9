"""Users of Locust who go from the promo link to the QR code, as a browser with HTMX does."""

import os
import random
import re
import time
import urllib.request
from collections import deque
from itertools import count
from pathlib import Path
from typing import Any
from urllib.parse import urljoin, urlsplit

import gevent
from locust import FastHttpUser, LoadTestShape, events, task
from locust.env import Environment
from requests.cookies import create_cookie
from websockets.exceptions import WebSocketException
from websockets.sync.client import connect
from websockets.typing import Origin

from tests.bench.journey import CSRF, IMAGE, NAMES, SOCKET, STEP, is_png
from tests.load.scenarios import PATIENCE, QUIET, Scenario, kind_of

SCENARIO = Scenario.named(os.environ.get("LOAD_SCENARIO", "200-in-1"))
IS_CLOSED = os.environ.get("LOAD_LOOP") == "closed"
SESSION_COOKIE = "session"
EVENT_LINK = re.compile(r'<a href="(/promo/[a-z0-9-]+/)">')
TICKET = re.compile(rb'id="ticket" class="ticket ticket-([a-z_]+)"')
# Seconds that a person waits for the QR code.
CODE_TIMEOUT = 30.0
# Above this share of a core, Locust itself may be slow.
OWN_LIMIT = 0.8


class Tally:
    """Counts of journeys and people, and the CPU of this process."""

    def __init__(self) -> None:
        self.numbers = count()
        # Each run against the same host starts at another number.
        self.phones = count(930_000_000 + random.randrange(9_000) * 1000)
        self.sessions: dict[str, deque[str]] = {"known": deque(), "returning": deque()}
        self.event_path = ""
        self.begun = self.ended = self.counted = 0
        self.began_at, self.cpu_at = time.monotonic(), time.process_time()
        self.most = 0.0

    def read_sessions(self) -> None:
        path = os.environ.get("LOAD_SESSIONS")
        for line in Path(path).read_text().splitlines() if path else []:
            kind, session = line.split()
            self.sessions[kind].append(session)

    def share(self) -> float:
        """Return the mean share of a core that this process used."""
        used = time.process_time() - self.cpu_at
        return used / max(time.monotonic() - self.began_at, 0.001)

    def watch(self) -> None:
        """Keep the largest share of a core in five seconds."""
        while True:
            cpu, at = time.process_time(), time.monotonic()
            gevent.sleep(5)
            self.most = max(self.most, (time.process_time() - cpu) / (time.monotonic() - at))


tally = Tally()


class LostError(Exception):
    """A journey ended without a QR code. The text says where."""


class Guest(FastHttpUser):
    """A user of Locust: one person in an open loop, one person after the other in a closed loop."""

    network_timeout = connection_timeout = CODE_TIMEOUT

    @task
    def come(self) -> None:
        self.client.cookiejar.clear()
        kind = kind_of(next(tally.numbers))
        began, error = time.perf_counter(), None
        self.phone = str(next(tally.phones))
        tally.begun += 1
        try:
            getattr(self, kind)()
            tally.counted += 1
        except LostError as lost:
            error = lost
        finally:
            tally.ended += 1
        self._report("journey", kind, began, error=error)
        while not IS_CLOSED:
            # Locust would replace a user that stops, and the shape counts all people so far.
            gevent.sleep(PATIENCE)

    # The kinds of guests ------------------------------------------------------------------------

    def new(self) -> None:
        """Register a phone without an account."""
        self._see_code(self._register(self._give_phone(self._look())))
        self._may_return()

    def known(self) -> None:
        """Ask for a place with a session. Without sessions a new guest comes instead."""
        if not tally.sessions["known"]:
            return self.new()
        self._sign_in(tally.sessions["known"].popleft())
        response = self._submit("request", self._look())
        return self._see_code(response)

    def returning(self) -> None:
        """Open the page of the event, which has the QR code of a guest on the list."""
        if not tally.sessions["returning"]:
            return self.new()
        session = tally.sessions["returning"].popleft()
        self._sign_in(session)
        self._see_code(self._get(tally.event_path, "event, on the list"))
        tally.sessions["returning"].append(session)
        return None

    def impatient(self) -> None:
        """Reload, send the phone twice at once, start again when signed in, and reload."""
        self._look()
        form = self._look()
        forms: list[dict[str, str]] = []
        both = [gevent.spawn(lambda: forms.append(self._give_phone(form))) for _ in range(2)]
        gevent.joinall(both)
        if not forms:
            raise LostError("phone: neither of two forms was accepted")
        # The last form belongs to the session that the browser has kept.
        self._register(forms[-1])
        # A second registration while signed in leads to the same ticket.
        self._submit("phone", self._look() | {"country": "PT", "phone": self.phone})
        self._see_code(self._get(tally.event_path, "event, reloaded"))

    # Steps --------------------------------------------------------------------------------------

    def _look(self) -> dict[str, str]:
        return self._hidden(self._get(tally.event_path, "event"))

    def _give_phone(self, form: dict[str, str]) -> dict[str, str]:
        response = self._submit("phone", form | {"country": "PT", "phone": self.phone})
        if b'name="first_name"' not in response:
            raise LostError("phone: no registration follows")
        return self._hidden(response)

    def _register(self, form: dict[str, str]) -> bytes:
        person = {
            "first_name": random.choice(NAMES),
            "last_name": "Exemplo",
            "email": f"g{self.phone}@example.com",
        }
        response = self._submit("register", form | person)
        if not TICKET.search(response):
            raise LostError("register: no ticket")
        return response

    def _see_code(self, response: bytes) -> None:
        """Follow the ticket in a response until its QR code is loaded."""
        image = IMAGE.search(response)
        found = SOCKET.search(response)
        if image is None and found is None:
            state = TICKET.search(response)
            raise LostError(f"ticket: {state[1].decode() if state else 'none'}")
        path = image[1] if image else self._listen(found[1].decode() if found else "")
        with self.client.get(path.decode(), name="QR image", catch_response=True) as got:
            if got.status_code != 200 or not is_png(got.content or b""):
                got.failure(f"{got.status_code}, not a PNG")
                raise LostError("image: not a PNG")

    def _listen(self, address: str) -> bytes:
        """Wait for the QR code on the websocket of the ticket."""
        began, error = time.perf_counter(), None
        url = urljoin(self._address.replace("http", "ws", 1), address)
        cookies = "; ".join(f"{each.name}={each.value}" for each in self.client.cookiejar)
        try:
            with connect(
                url,
                origin=Origin(self._address),
                additional_headers={"Cookie": cookies, "Accept-Language": "pt-PT"},
                compression=None,
                proxy=None,
                open_timeout=CODE_TIMEOUT,
            ) as socket:
                self._report("WS", "socket", began)
                until = time.perf_counter() + CODE_TIMEOUT
                while (left := until - time.perf_counter()) > 0:
                    message = socket.recv(timeout=left, decode=False)
                    if found := IMAGE.search(message):
                        return found[1]
                error = LostError("push: no code in time")
        except (WebSocketException, OSError) as failure:
            error = LostError(f"push: {type(failure).__name__}")
        finally:
            self._report("WS", "QR pushed", began, error=error)
        raise error

    @property
    def _address(self) -> str:
        assert self.host is not None
        return self.host

    # Requests -----------------------------------------------------------------------------------

    def _get(self, path: str, name: str, *, htmx: bool = False) -> bytes:
        headers = self._htmx() if htmx else {}
        with self.client.get(path, name=name, headers=headers, catch_response=True) as got:
            if got.status_code != 200:
                got.failure(str(got.status_code))
                raise LostError(f"{name}: {got.status_code}")
            return got.content or b""

    def _submit(self, step: str, fields: dict[str, str]) -> bytes:
        with self.client.post(
            self._step(step), data=fields, name=step, headers=self._htmx(), catch_response=True
        ) as got:
            if got.status_code != 200:
                got.failure(str(got.status_code))
                raise LostError(f"{step}: {got.status_code}")
            return got.content or b""

    def _htmx(self) -> dict[str, str]:
        current = self._address + tally.event_path
        # With https Django also checks the Referer of a form.
        return {"HX-Request": "true", "HX-Current-URL": current, "Referer": current}

    def _step(self, name: str) -> str:
        return f"{tally.event_path}-/{name}/"

    def _hidden(self, page: bytes) -> dict[str, str]:
        """Return the hidden fields of the form in a page."""
        found = {"csrfmiddlewaretoken": CSRF.search(page), "step": STEP.search(page)}
        return {name: match[1].decode() for name, match in found.items() if match}

    def _sign_in(self, session: str) -> None:
        name = f"__Host-{SESSION_COOKIE}" if self._address.startswith("https") else SESSION_COOKIE
        domain = urlsplit(self._address).hostname or ""
        self.client.cookiejar.set_cookie(create_cookie(name, session, domain=domain))

    def _may_return(self) -> None:
        """Keep the session, so a returning guest can use it later."""
        for cookie in self.client.cookiejar:
            if cookie.name.endswith(SESSION_COOKIE) and len(tally.sessions["returning"]) < 50:
                tally.sessions["returning"].append(cookie.value or "")

    def _report(
        self, kind: str, name: str, began: float, *, error: Exception | None = None
    ) -> None:
        self.environment.events.request.fire(
            request_type=kind,
            name=name,
            response_time=(time.perf_counter() - began) * 1000,
            response_length=0,
            exception=error,
            context={},
        )


class Opening(LoadTestShape):
    """The number of users over time: after the quiet time people arrive as the scenario says.

    In a closed loop all users start within the quiet time and stay.
    """

    def tick(self) -> tuple[int, float] | None:
        now: float = self.get_run_time()  # type: ignore[no-untyped-call]
        if IS_CLOSED:
            at_first = max(1, int(SCENARIO.people * min(1.0, now / QUIET)))
            return None if now > QUIET + SCENARIO.seconds else (at_first, 500.0)
        over = now > QUIET + SCENARIO.seconds
        if over and (tally.ended >= SCENARIO.people or now > QUIET + SCENARIO.seconds + PATIENCE):
            return None
        # Users stay after their journey, so their number is that of all people so far.
        return SCENARIO.arrived(now), 500.0


@events.test_start.add_listener  # type: ignore[untyped-decorator]
def begin(environment: Environment, **kwargs: Any) -> None:
    tally.read_sessions()
    tally.event_path = _event_path(environment)
    gevent.spawn(tally.watch)


@events.quitting.add_listener  # type: ignore[untyped-decorator]
def print_results(environment: Environment, **kwargs: Any) -> None:
    """Print the journeys that counted and the CPU of Locust. Fail when a journey did not count."""
    print(
        f"\n{tally.counted} journeys counted of {tally.begun} begun"
        f" (QR image fetched, and a PNG); the scenario has {SCENARIO.people} people"
    )
    print(
        f"Locust itself: {tally.share():.0%} of one core, {tally.most:.0%} in its busiest 5 seconds"
    )
    if tally.most > OWN_LIMIT:
        print("Locust itself may be slow. `make bench` has a generator that needs less CPU.")
    lost = tally.begun - tally.counted
    missing = 0 if IS_CLOSED else SCENARIO.people - tally.begun
    if lost > (SCENARIO.people if IS_CLOSED else 0) or missing:
        environment.process_exit_code = 1


def _event_path(environment: Environment) -> str:
    """Return the page of the given event, or of the first event in the list."""
    if slug := os.environ.get("LOAD_EVENT"):
        return f"/promo/{slug}/"
    with urllib.request.urlopen(f"{environment.host}/promo/", timeout=CODE_TIMEOUT) as listed:
        found = EVENT_LINK.search(listed.read().decode())
    if found is None:
        raise LostError("no event is listed: set LOAD_EVENT")
    return found[1]
