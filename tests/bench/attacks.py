"""What an attacker gets in a minute, over plain HTTP; and a crowd behind one address, all through.

Forms are read from the pages: whatever hidden fields a release puts into them is sent back. So the
same attacks run against an older release; docs/security.json keeps its figures as `before`.
"""

import asyncio
import contextlib
import itertools
import json
import random
import re
import secrets
from base64 import b64encode
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from time import monotonic, perf_counter
from typing import Any
from urllib.parse import urlencode, urlsplit

from altcha import Challenge, Payload, solve_challenge
from django.conf import settings
from redis import Redis

from accounts.models import LoginCode
from guests.models import Event
from notifications.models import Email
from tests.bench.bench import Bench, open_event
from tests.bench.figures import Figures, percentile, under
from tests.bench.stack import NO_LIMIT
from tests.bench.wire import Answer, Browser, WireError
from tests.factories import make_account, make_guest

ATTACKER = "198.51.100.7"
CARRIER = "203.0.113.9"
# Connections of a harvester or pumper; of one who floods the sign-in of staff.
HANDS, FLOODING = 8, 24
PEOPLE, WAIT_PROOF_GRACE, PATIENCE = 1000, 30.0, 300.0
TAKEOVERS = 5
LONGEST_CALL = 30.0
MOBILE = ("91", "92", "93", "96")  # how Portuguese mobile numbers begin
START, END = "<!-- attacks: written by `make bench PARTS=attacks` -->", "<!-- /attacks -->"


@dataclass(frozen=True)
class Form:
    action: str
    hidden: dict[str, str] = field(default_factory=dict)
    challenge: str = ""

    @property
    def step(self) -> str:
        """The last part of the address it is sent to."""
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


def form_of(response: Answer, step: str) -> Form | None:
    """Return the form of an answer that leads to a step, or that carries a challenge."""
    for form in forms_of(response.body):
        if form.challenge if step == "challenge" else form.step == step:
            return form
    return None


def has_ticket(response: Answer) -> bool:
    return response.status == 200 and (
        b"ws-connect=" in response.body or b"data-state=" in response.body
    )


class Caller:
    """A browser of somebody's own, behind an address, that goes an event's way with HTMX."""

    def __init__(self, url: str, event: Event, address: str) -> None:
        self.browser = Browser(url)
        self.event_path = f"/promo/{event.slug}/"
        self.address = address
        self.solved = 0
        self._phone_form: Form | None = None

    def close(self) -> None:
        self.browser.close()

    async def get(self, path: str) -> Answer:
        return await self._follow("GET", path, b"")

    async def send(self, form: Form, **fields: str) -> Answer:
        body = urlencode(form.hidden | fields).encode()
        return await self._follow("POST", form.action, body)

    async def give_phone(self, phone: str) -> Answer:
        """Send the phone form, fetched with the event's page the first time."""
        if self._phone_form is None:
            page = await self.get(self.event_path)
            self._phone_form = form_of(page, "phone")
            if self._phone_form is None:
                return page
        return await self.send(self._phone_form, country="PT", phone=phone)

    async def past_challenge(self, refused: Answer) -> Answer | None:
        """Solve the challenge that an answer asks for, and return the next answer, or None."""
        form = form_of(refused, "challenge")
        if form is None:
            return None
        posed = await self.get(form.challenge)
        if posed.status != 200:
            return None
        solution = await asyncio.to_thread(_solve, posed.body)
        self.solved += 1
        return await self.send(form, altcha=solution)

    async def _follow(self, method: str, path: str, body: bytes) -> Answer:
        for _ in range(6):
            response = await self._ask(method, path, body)
            headers = {b"location", b"hx-redirect"}
            onward = next(filter(None, (response.header(name) for name in headers)), b"")
            if not onward or (response.status < 300 and not response.header(b"hx-redirect")):
                return response
            parts = urlsplit(onward.decode())
            path = parts.path + (f"?{parts.query}" if parts.query else "")
            if response.status != 307:
                method, body = "GET", b""
        return response

    async def _ask(self, method: str, path: str, body: bytes) -> Answer:
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


# The attacks -------------------------------------------------------------------------------------


def attacks(bench: Bench) -> Figures:
    """Run all of them, each with the limits as a new installation has them, and none used up."""
    figures: Figures = {}
    with bench.stack.usual_limits(TRUSTED_PROXIES="1", METRICS_TOKEN="needed behind a proxy"):
        for name, attack in {
            "row": lambda: _harvest(bench, _in_a_row()),
            "random": lambda: _harvest(bench, _at_random()),
            "pump": lambda: _pump(bench),
            "flood": lambda: asyncio.run(_flood(bench, open_event("flood"))),
            "takeover": lambda: _take_over(bench),
        }.items():
            figures |= under(name, _run(bench, name, attack))
    # A thousand phones solve on a thousand processors; here all of them share two with SNAP.
    given = {"TRUSTED_PROXIES": "1", "CHALLENGE_COST": "50"}
    # How fast one event gives places is another question, and staff's to say.
    given |= {"LIMIT_EVENT": NO_LIMIT, "LIMIT_SYSTEM": NO_LIMIT}
    with bench.stack.usual_limits(METRICS_TOKEN="needed behind a proxy", **given):
        figures |= under(
            "crowd", _run(bench, "crowd", lambda: asyncio.run(_crowd(bench, open_event("crowd"))))
        )
    return figures


def _run(bench: Bench, name: str, attack: Callable[[], Figures]) -> Figures:
    with Redis.from_url(settings.LIMITS_URL) as store:
        store.flushdb()
    print(f"    {name} …", flush=True)
    figures = attack()
    print("    " + ", ".join(f"{key} {value:,.1f}" for key, value in figures.items()), flush=True)
    bench.settle()
    return figures


def _in_a_row() -> Iterator[str]:
    first = random.randrange(930_000, 939_000) * 1000
    return (str(number) for number in itertools.count(first))


def _at_random() -> Iterator[str]:
    while True:
        yield random.choice(MOBILE) + f"{random.randrange(10**7):07}"


async def _with_hands(seconds: float, act: Callable[[float], Awaitable[Any]]) -> None:
    """Do the same with many hands, over and over, for so many seconds; a failed call is nothing."""
    until = monotonic() + seconds

    async def hand() -> None:
        while monotonic() < until:
            try:
                await act(until)
            except (WireError, OSError, TimeoutError):
                await asyncio.sleep(0.1)

    await asyncio.gather(*(hand() for _ in range(HANDS)))


def _harvest(bench: Bench, numbers: Iterator[str]) -> Figures:
    """Ask which phones have an account, solving what is asked for, a new browser when one is used
    up. Return how many were told in a minute.
    """
    event, counts = open_event("harvest"), {"told": 0, "solved": 0, "refused": 0}

    async def act(until: float) -> None:
        caller = Caller(bench.stack.url, event, ATTACKER)
        try:
            # One browser until it gets no answer, challenge solved or not.
            while monotonic() < until and await _is_told(caller, next(numbers)):
                counts["told"] += 1
            counts["refused"] += 1
        finally:
            counts["solved"] += caller.solved
            caller.close()

    asyncio.run(_with_hands(bench.seconds, act))
    return _a_minute(counts, bench.seconds)


async def _is_told(caller: Caller, phone: str) -> bool:
    response: Answer | None = await caller.give_phone(phone)
    if response is not None and response.status == 429:
        response = await caller.past_challenge(response)
        if response is None:
            return False
        if not _tells(response):
            response = await caller.give_phone(phone)
    return response is not None and _tells(response)


def _tells(response: Answer) -> bool:
    """Say whether an answer to a phone tells if it has an account: what comes next does."""
    return bool(form_of(response, "register") or form_of(response, "code"))


def _a_minute(counts: dict[str, int], seconds: float) -> Figures:
    return {name: number * 60 / seconds for name, number in counts.items()}


def _pump(bench: Bench) -> Figures:
    """Register unknown phones with one victim's email, in all its spellings, and count emails."""
    event = open_event("pump")
    victim = f"vitima{secrets.token_hex(4)}"
    numbers, spellings = _at_random(), itertools.count()
    counts = {"registrations": 0, "solved": 0}

    async def act(until: float) -> None:
        caller = Caller(bench.stack.url, event, ATTACKER)
        try:
            spelt = f"{victim}+{next(spellings)}@gmail.com"
            person = {"first_name": "Ana", "last_name": "Exemplo", "email": spelt}
            ticket = await _register(caller, next(numbers), person)
            counts["registrations"] += ticket is not None
        finally:
            counts["solved"] += caller.solved
            caller.close()

    asyncio.run(_with_hands(bench.seconds, act))
    bench.settle()
    emails = Email.objects.filter(to__startswith=victim).exclude(state=Email.State.CANCELLED)
    return _a_minute(counts | {"emails": emails.count()}, bench.seconds)


async def _register(caller: Caller, phone: str, person: dict[str, str]) -> Answer | None:
    """Go from the phone to the ticket, and return its answer; None when that leads nowhere."""
    response: Answer | None = await caller.give_phone(phone)
    for _ in range(6):
        if response is None or has_ticket(response):
            return response
        if response.status == 429:
            response = await caller.past_challenge(response)
            if response is not None and response.status == 200 and not _leads_on(response):
                response = await caller.give_phone(phone)
        elif form := form_of(response, "register"):
            response = await caller.send(form, **person)
            if form_of(response, "register") and response.status < 300:
                return None  # Shown once more: something in it is not taken.
        elif response.status == 200 and form_of(response, "phone"):
            response = await caller.give_phone(phone)
        else:
            return None
    return None


def _leads_on(response: Answer) -> bool:
    return has_ticket(response) or form_of(response, "register") is not None


async def _flood(bench: Bench, event: Event) -> Figures:
    """Send staff's sign-in form with random phones over 24 connections; time pages meanwhile."""
    quiet = await _page_times(bench, event, bench.seconds / 6)
    until, hashed = monotonic() + bench.seconds / 2, itertools.count()

    async def hammer() -> None:
        browser = Browser(bench.stack.url)
        address = b"X-Forwarded-For: %b\r\n" % ATTACKER.encode()
        while monotonic() < until:
            with contextlib.suppress(WireError, OSError, TimeoutError):
                async with asyncio.timeout(LONGEST_CALL):
                    form = form_of(await browser.get(b"/admin/login/", address), "login")
                    if form is None:
                        await asyncio.sleep(0.05)
                        continue
                    phone = f"+3519{random.randrange(10**8):08}"
                    fields = {"username": phone, "password": "not the password"}
                    body = urlencode(form.hidden | fields).encode()
                    response = await browser.post(b"/admin/login/", body, address)
                    # The form with its error: a password was compared.
                    if response.status == 200:
                        next(hashed)
        browser.close()

    hammering = [asyncio.create_task(hammer()) for _ in range(FLOODING)]
    await asyncio.sleep(1)
    under_flood = await _page_times(bench, event, bench.seconds / 2 - 1)
    await asyncio.gather(*hammering)
    return {
        "passwords": next(hashed) * 120 / bench.seconds,
        "quiet/p50": percentile(quiet, 50) * 1000,
        "quiet/p95": percentile(quiet, 95) * 1000,
        "p50": percentile(under_flood, 50) * 1000,
        "p95": percentile(under_flood, 95) * 1000,
    }


async def _page_times(bench: Bench, event: Event, seconds: float) -> list[float]:
    """Open the event's page again and again, each time as somebody else; return the seconds."""
    times, until = [], monotonic() + seconds
    for number in itertools.count():
        if monotonic() > until:
            break
        address = f"192.0.2.{number % 250 + 1}"
        caller = Caller(bench.stack.url, event, address)
        began = perf_counter()
        with contextlib.suppress(WireError, OSError, TimeoutError):
            await caller.get(caller.event_path)
        times.append(perf_counter() - began)
        caller.close()
        await asyncio.sleep(0.05)
    return times


def _take_over(bench: Bench) -> Figures:
    """Claim a guest's phone with an email of one's own, five times; count places that changed."""
    event, taken = open_event("takeover"), 0
    for number in range(TAKEOVERS):
        account = make_account(phone=f"+35196{random.randrange(10**7):07}")
        guest = make_guest(event, account)
        email, token, name = account.email, guest.qr_token, guest.name
        attacker = f"atacante{secrets.token_hex(4)}@example.com"
        with contextlib.suppress(WireError, OSError, TimeoutError):
            _claim(bench, event, account.phone or "", attacker)
        account.refresh_from_db()
        guest.refresh_from_db()
        changed = (account.email, guest.qr_token, guest.name) != (email, token, name)
        taken += changed
        print(f"      {number + 1} of {TAKEOVERS}: {'taken' if changed else 'kept'}", flush=True)
    return {"tries": TAKEOVERS, "taken": taken}


def _claim(bench: Bench, event: Event, phone: str, email: str) -> None:
    """Go through phone, claim and code, with what arrives at the attacker's own address."""

    async def ask() -> tuple[Caller, Form | None]:
        caller = Caller(bench.stack.url, event, ATTACKER)
        response = await caller.give_phone(phone)
        links = [link for link in links_of(response.body) if "/claim/" in link]
        if not links:
            return caller, None
        form = form_of(await caller.get(links[0]), "claim")
        if form is None:
            return caller, None
        person = {"first_name": "Zé", "last_name": "Atacante", "email": email}
        response = await caller.send(form, **person)
        return caller, form_of(response, "code")

    with asyncio.Runner() as runner:
        caller, form = runner.run(ask())
        sent = Email.objects.filter(kind="login_code", to=email).order_by("-pk").first()
        if form is not None and sent is not None:
            code = LoginCode.objects.get(pk=int(sent.cause.removeprefix("login_code:")))
            runner.run(caller.send(form, code=code.digits()))
        caller.close()


# The crowd ---------------------------------------------------------------------------------------


async def _crowd(bench: Bench, event: Event) -> Figures:
    """Have a thousand people come behind one carrier's address within half a minute."""
    numbers, people = _at_random(), bench.size(PEOPLE)
    deadline = min(WAIT_PROOF_GRACE, bench.seconds)
    began, times = monotonic(), []

    async def person(number: int) -> None:
        await asyncio.sleep(number * deadline / people)
        came = monotonic()
        if await _gets_a_ticket(bench, event, next(numbers), number):
            times.append(monotonic() - came)
        if len(times) % 100 == 0:
            print(f"      {len(times)} through after {monotonic() - began:.0f} s", flush=True)

    await asyncio.gather(*(person(number) for number in range(people)))
    return {
        "people": people,
        "through": len(times),
        "seconds": monotonic() - began,
        "p50": percentile(times, 50),
        "p95": percentile(times, 95),
    }


async def _gets_a_ticket(bench: Bench, event: Event, phone: str, number: int) -> bool:
    """Try as a person does: solve what is asked for, and come again a little later."""
    until = monotonic() + PATIENCE
    person = {"first_name": "Ana", "last_name": "Exemplo", "email": f"a{number}@example.com"}
    caller = Caller(bench.stack.url, event, CARRIER)
    try:
        while monotonic() < until:
            with contextlib.suppress(WireError, OSError, TimeoutError):
                if await _register(caller, phone, person) is not None:
                    return True
            await asyncio.sleep(random.uniform(2, 5))
        return False
    finally:
        caller.close()


# The table ---------------------------------------------------------------------------------------

ROWS: dict[str, tuple[str, ...]] = {
    "Consecutive phones of which one address learns whether they have an account": ("row/told",),
    "Random phones of which one address learns that": ("random/told",),
    "Challenges solved for these, consecutive / random": ("row/solved", "random/solved"),
    "Emails to one victim, caused by registrations": ("pump/emails",),
    "Passwords compared for 24 connections to the sign-in of staff": ("flood/passwords",),
    "An event's page meanwhile, p50 / p95 ms": ("flood/p50", "flood/p95"),
    "The same page without the attack, p50 / p95 ms": ("flood/quiet/p50", "flood/quiet/p95"),
    "Places taken by proving another email, of five tries": ("takeover/taken",),
    "Guests with a place, of 1,000 behind one carrier's address": ("crowd/through",),
    "Seconds until the last of them; all came within 30": ("crowd/seconds",),
    "Seconds that one of them took, p50 / p95": ("crowd/p50", "crowd/p95"),
}


def keep(folder: Path, run: dict[str, Any], *, is_before: bool) -> None:
    """Keep a run's figures in security.json, and write the table in security.md anew."""
    path, document = folder / "security.json", folder / "security.md"
    kept = json.loads(path.read_text()) if path.exists() else {}
    kept["before" if is_before else "now"] = run
    folder.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(kept, indent=1) + "\n")
    if document.exists():
        document.write_text(with_table(document.read_text(), kept))


def with_table(text: str, kept: dict[str, Any]) -> str:
    """Return a document with the table between its marks. Raises ValueError without marks."""
    if START not in text or END not in text:
        raise ValueError("security.md has no place for the table")
    runs = [kept[name] for name in ("before", "now") if name in kept]
    head = ["in a minute, from one address", *(f"`{run['commit']}`" for run in runs)]
    lines = [_row(head), "|---|" + "--:|" * len(runs)]
    lines += [
        _row([label, *(_cell(run["figures"], names) for run in runs)])
        for label, names in ROWS.items()
    ]
    table = "\n".join(["", *lines, ""])
    pattern = re.compile(re.escape(START) + ".*?" + re.escape(END), re.DOTALL)
    return pattern.sub(lambda _: f"{START}\n{table}\n{END}", text)


def _row(cells: list[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _cell(figures: dict[str, float], names: tuple[str, ...]) -> str:
    return " / ".join(f"{figures[name]:,.0f}" if name in figures else "–" for name in names)
