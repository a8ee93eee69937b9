"""What an attacker achieves in a minute over plain HTTP, and a crowd behind one address.

The attackers send back all hidden fields of a form, so the same attacks run against an older
release. docs/security.json keeps its figures as `before`.
"""

import asyncio
import contextlib
import itertools
import random
import secrets
from collections.abc import Awaitable, Callable, Iterator
from time import monotonic, perf_counter
from typing import Any
from urllib.parse import urlencode

from django.conf import settings
from redis import Redis

from accounts.models import LoginCode
from guests.models import Event
from notifications.models import Email
from tests.bench.bench import Bench, open_event
from tests.bench.callers import LONGEST_CALL, Caller, Form, form_of, has_ticket, links_of
from tests.bench.figures import Figures, percentile, under
from tests.bench.stack import NO_LIMIT
from tests.bench.wire import Browser, Response, WireError
from tests.factories import make_account, make_guest

ATTACKER = "198.51.100.7"


CARRIER = "203.0.113.9"


# Connections of an attacker who harvests or pumps, and of one who floods the sign-in of staff.
CONNECTIONS, FLOOD_CONNECTIONS = 8, 24


PEOPLE, ARRIVE_WITHIN, PATIENCE = 1000, 30.0, 300.0


TAKEOVERS = 5


MOBILE = ("91", "92", "93", "96")  # prefixes of Portuguese mobile numbers


def attacks(bench: Bench) -> Figures:
    """Run all attacks, each with the default limits and with all counters at zero."""
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
    # In reality a thousand phones solve challenges. Here all share two cores with SNAP.
    given = {"TRUSTED_PROXIES": "1", "CHALLENGE_COST": "50"}
    # How fast one event gives places is not measured here.
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


async def _repeat_in_parallel(seconds: float, act: Callable[[float], Awaitable[Any]]) -> None:
    """Repeat an action on CONNECTIONS connections for some seconds. Failed calls do not count."""
    until = monotonic() + seconds

    async def repeat() -> None:
        while monotonic() < until:
            try:
                await act(until)
            except (WireError, OSError, TimeoutError):
                await asyncio.sleep(0.1)

    await asyncio.gather(*(repeat() for _ in range(CONNECTIONS)))


def _harvest(bench: Bench, numbers: Iterator[str]) -> Figures:
    """Ask which phones have an account, and return how many the attacker learns a minute.

    The attacker solves challenges, and replaces a browser that is refused by a new one.
    """
    event, counts = open_event("harvest"), {"told": 0, "solved": 0, "refused": 0}

    async def act(until: float) -> None:
        caller = Caller(bench.stack.url, event, ATTACKER)
        try:
            # One browser goes on until a challenge does not help either.
            while monotonic() < until and await _learns_account(caller, next(numbers)):
                counts["told"] += 1
            counts["refused"] += 1
        finally:
            counts["solved"] += caller.solved
            caller.close()

    asyncio.run(_repeat_in_parallel(bench.seconds, act))
    return _a_minute(counts, bench.seconds)


async def _learns_account(caller: Caller, phone: str) -> bool:
    response: Response | None = await caller.give_phone(phone)
    if response is not None and response.status == 429:
        response = await caller.past_challenge(response)
        if response is None:
            return False
        if not _tells_account(response):
            response = await caller.give_phone(phone)
    return response is not None and _tells_account(response)


def _tells_account(response: Response) -> bool:
    """Say whether the response to a phone tells if it has an account: the next step tells it."""
    return bool(form_of(response, "register") or form_of(response, "code"))


def _a_minute(counts: dict[str, int], seconds: float) -> Figures:
    return {name: number * 60 / seconds for name, number in counts.items()}


def _pump(bench: Bench) -> Figures:
    """Register unknown phones with the email of one victim in many spellings, and count emails."""
    event = open_event("pump")
    victim = f"vitima{secrets.token_hex(4)}"
    numbers, spellings = _at_random(), itertools.count()
    counts = {"registrations": 0, "solved": 0}

    async def act(until: float) -> None:
        caller = Caller(bench.stack.url, event, ATTACKER)
        try:
            email = f"{victim}+{next(spellings)}@gmail.com"
            person = {"first_name": "Ana", "last_name": "Exemplo", "email": email}
            ticket = await _register(caller, next(numbers), person)
            counts["registrations"] += ticket is not None
        finally:
            counts["solved"] += caller.solved
            caller.close()

    asyncio.run(_repeat_in_parallel(bench.seconds, act))
    bench.settle()
    emails = Email.objects.filter(to__startswith=victim).exclude(state=Email.State.CANCELLED)
    return _a_minute(counts | {"emails": emails.count()}, bench.seconds)


async def _register(caller: Caller, phone: str, person: dict[str, str]) -> Response | None:
    """Go from the phone to the ticket. Return its response, or None when no ticket is reached."""
    response: Response | None = await caller.give_phone(phone)
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
                return None  # The form has an error.
        elif response.status == 200 and form_of(response, "phone"):
            response = await caller.give_phone(phone)
        else:
            return None
    return None


def _leads_on(response: Response) -> bool:
    return has_ticket(response) or form_of(response, "register") is not None


async def _flood(bench: Bench, event: Event) -> Figures:
    """Flood the sign-in of staff with random phones, and time the pages of visitors."""
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
                    # The form with its error means that a password was compared.
                    if response.status == 200:
                        next(hashed)
        browser.close()

    hammering = [asyncio.create_task(hammer()) for _ in range(FLOOD_CONNECTIONS)]
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
    """Open the event's page repeatedly, each time as another visitor, and return the seconds."""
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
    """Claim the phones of five guests with the attacker's email, and count changed places."""
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
    """Go the steps phone, claim and code, with the code that the attacker's address receives."""

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


async def _crowd(bench: Bench, event: Event) -> Figures:
    """Let a thousand people arrive behind one carrier's address within half a minute."""
    numbers, people = _at_random(), bench.size(PEOPLE)
    deadline = min(ARRIVE_WITHIN, bench.seconds)
    began, times = monotonic(), []

    async def person(number: int) -> None:
        await asyncio.sleep(number * deadline / people)
        arrived_at = monotonic()
        if await _gets_a_ticket(bench, event, next(numbers), number):
            times.append(monotonic() - arrived_at)
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
    """Try as a person does: solve challenges, and try again a little later."""
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
