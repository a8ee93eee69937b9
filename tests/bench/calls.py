"""Single calls, compared with the least they could cost: a bare hello, a Redis GET, an INSERT."""

import asyncio
import json
import re
import secrets
import subprocess
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from time import perf_counter, process_time

from channels.db import database_sync_to_async
from django.conf import settings
from django.db import connection
from redis import Redis

from guests.models import Event, GuestRequest
from snap.local import processes
from snap.local.embedded import free_port
from snap.local.processes import Process
from tests.bench.bench import Bench, open_event
from tests.bench.figures import Figures, cpu_per, milliseconds, under
from tests.bench.journey import Times
from tests.bench.people import make_accounts, sessions_of
from tests.bench.usage import CpuWindow
from tests.bench.wire import Browser, Response

CONNECTIONS = 64
CHECK_PATH = b"/api/client-auth-v2/check-phone"
CREATE_PATH = b"/api/client-auth/guests/create-async"
JSON = b"application/json"
# Known phones that are checked: few, so each is in the cache after the first time.
CHECKED = 200
# In a script of pgbench each line is one statement. Every client takes the next account.
INSERT = """
SELECT nextval('bench_accounts') AS account \\gset
INSERT INTO guests_guestrequest (ticket_id, event_id, account_id, phone, name, next_attempt_at,
                                 refusal, attempts, error)
SELECT gen_random_uuid(), {event}, id, phone, first_name, now() + interval '1 day', '', 0, ''
FROM accounts_user WHERE id = :account;
"""

Call = Callable[[Browser, int], Awaitable[Response]]


def calls(bench: Bench) -> Figures:
    """Compare the phone check with hello and a Redis GET, and accept with pgbench's same insert."""
    event = open_event("calls")
    figures: Figures = {}
    with _hello(bench) as url:
        figures |= under("hello", _measure(bench, url, _say_hello))
    figures |= under("redis get", _redis_get(bench))
    figures |= under("check", _check(bench, event))
    figures |= under("accept", _accept(bench, event))
    figures |= under("insert", _pgbench(bench))
    return figures


# One kind of call, from many connections and at half of what those reach -------------------------


def _measure(bench: Bench, url: str, call: Call, *, at_most: int = 10**9) -> Figures:
    """Call from 64 connections for a third of the time, then at half load for another third.

    Half load is half of what is completed: between the two, all requests and emails of the calls
    end, and that time counts. Half of what is only accepted is all that two cores can complete.
    """
    return asyncio.run(_load(bench, url, call, at_most))


async def _load(bench: Bench, url: str, call: Call, at_most: int) -> Figures:
    seconds, numbers = bench.seconds / 3, iter(range(at_most))
    async with _browsers(url, bench.size(CONNECTIONS)) as browsers:
        await _closed(browsers, call, numbers, 0.5)  # Warms connections, caches and pools.
        window = CpuWindow(bench.stack.pids)
        times = await _closed(browsers, call, numbers, seconds)
        used = window.close()
        done = len(times.steps.get("call", ()))
        figures = {"rate": done / window.seconds, "errors": len(times.errors)}
        figures |= milliseconds(times.steps.get("call", [])) | cpu_per(done, used)
        ended_in = window.seconds + await settle_in_thread(bench)
        figures["carried"] = done / ended_in
        half = await _paced(browsers, call, numbers, figures["carried"] / 2, seconds)
    for error in sorted(set(times.errors + half.errors))[:3]:
        print(f"    {error}", flush=True)
    figures["half/errors"] = len(half.errors)
    return figures | under("half", milliseconds(half.steps.get("call", [])))


@database_sync_to_async
def settle_in_thread(bench: Bench) -> float:
    return bench.settle()["emails seconds"]


class _browsers:  # noqa: N801 (a context manager, called like a function)
    """Browsers with a CSRF cookie. They are closed at the end."""

    def __init__(self, url: str, size: int) -> None:
        self.browsers = [Browser(url) for _ in range(size)]

    async def __aenter__(self) -> list[Browser]:
        for browser in self.browsers:
            browser.cookies[settings.CSRF_COOKIE_NAME.encode()] = secrets.token_hex(16).encode()
        return self.browsers

    async def __aexit__(self, *exception: object) -> None:
        for browser in self.browsers:
            browser.close()


async def _closed(
    browsers: list[Browser], call: Call, numbers: Iterator[int], seconds: float
) -> Times:
    times, until = Times(), perf_counter() + seconds

    async def user(browser: Browser) -> None:
        while perf_counter() < until and (number := next(numbers, None)) is not None:
            await _time(browser, call, number, times)

    await asyncio.gather(*(user(browser) for browser in browsers))
    return times


async def _paced(
    browsers: list[Browser], call: Call, numbers: Iterator[int], rate: float, seconds: float
) -> Times:
    """Call at a fixed rate over any free connection. A call waits when no connection is free."""
    times, began = Times(), perf_counter()
    pace = iter(range(int(rate * seconds)))

    async def user(browser: Browser) -> None:
        for turn in pace:
            number = next(numbers, None)
            if number is None:
                return
            due = began + turn / rate
            if (early := due - perf_counter()) > 0:
                await asyncio.sleep(early)
            await _time(browser, call, number, times, since=due)

    await asyncio.gather(*(user(browser) for browser in browsers))
    return times


async def _time(
    browser: Browser, call: Call, number: int, times: Times, since: float | None = None
) -> None:
    """Time a call from the moment it was due, so the wait for a free connection counts."""
    began = perf_counter() if since is None else since
    try:
        response = await call(browser, number)
    except Exception as error:  # noqa: BLE001 (any error is a failed call)
        times.failed(f"{type(error).__name__} {error}")
        return
    if response.status in {200, 202}:
        times.add({"call": perf_counter() - began})
    else:
        times.failed(f"{response.status} {response.body[:120]!r}")


# Hello and Redis ---------------------------------------------------------------------------------


async def _say_hello(browser: Browser, _: int) -> Response:
    return await browser.get(b"/")


@contextmanager
def _hello(bench: Bench) -> Iterator[str]:
    """Serve a bare hello with the command of web, as one of the measured processes."""
    port = free_port()
    web = bench.stack.processes["web"].command
    command = web.replace("snap.wsgi:application", "tests.bench.hello:application")
    hello = Process("hello", command, bench.stack.env | {"WEB_PORT": str(port)})
    with bench.stack.log_path("hello").open("wb") as log:
        hello.start(log)
    bench.stack.processes["hello"] = hello
    url = f"http://127.0.0.1:{port}"
    try:
        asyncio.run(_until_it_responds(url))
        yield url
    finally:
        del bench.stack.processes["hello"]
        processes.stop([hello], 15.0)


async def _until_it_responds(url: str) -> None:
    async with asyncio.timeout(30):
        while True:
            browser = Browser(url)
            try:
                await browser.get(b"/")
            except OSError:
                await asyncio.sleep(0.1)
            else:
                return
            finally:
                browser.close()


def _redis_get(bench: Bench) -> Figures:
    times, cpu = [], process_time()
    with Redis.from_url(settings.CACHE_URL) as redis:
        redis.set("bench", b"1", ex=60)
        for _ in range(bench.size(20_000)):
            began = perf_counter()
            redis.get("bench")
            times.append(perf_counter() - began)
    return milliseconds(times) | {"cpu/generator": (process_time() - cpu) * 1000 / len(times)}


# Phone check -------------------------------------------------------------------------------------


def _check(bench: Bench, event: Event) -> Figures:
    """Check phones that are in the cache. Without the API, check unknown phones by the page."""
    make_accounts(CHECKED)
    if asyncio.run(_has_check(bench)):
        return _measure(bench, bench.stack.url, _check_by_api) | {"by_page": 0.0}
    return _measure(bench, bench.stack.url, _check_by_page(event)) | {"by_page": 1.0}


async def _has_check(bench: Bench) -> bool:
    async with _browsers(bench.stack.url, 1) as (browser,):
        return (await _check_by_api(browser, 0)).status == 200


async def _check_by_api(browser: Browser, number: int) -> Response:
    body = json.dumps({"phone": f"+3519{20_000_000 + number % CHECKED:08d}"}).encode()
    return await browser.post(CHECK_PATH, body, _csrf(browser), JSON)


def _check_by_page(event: Event) -> Call:
    path = f"/promo/{event.slug}/-/phone/".encode()

    async def ask(browser: Browser, number: int) -> Response:
        body = b"country=PT&phone=%d" % (930_000_000 + number)
        return await browser.post(path, body, b"HX-Request: true\r\n" + _csrf(browser))

    return ask


def _csrf(browser: Browser) -> bytes:
    return b"X-CSRFToken: %b\r\n" % browser.cookies[settings.CSRF_COOKIE_NAME.encode()]


# Accept ------------------------------------------------------------------------------------------


def _accept(bench: Bench, event: Event) -> Figures:
    """Call create-async, each time with another signed-in account, while workers end requests."""
    accounts = make_accounts(200 if bench.quick else int(400 * bench.seconds))
    sessions = sessions_of(accounts)
    body = json.dumps({"event_id": event.pk}).encode()

    async def ask(browser: Browser, number: int) -> Response:
        browser.cookies[settings.SESSION_COOKIE_NAME.encode()] = sessions[accounts[number]]
        return await browser.post(CREATE_PATH, body, _csrf(browser), JSON)

    return _measure(bench, bench.stack.url, ask, at_most=len(accounts))


def _pgbench(bench: Bench) -> Figures:
    """Insert the same rows with pgbench and 8 clients, as many as the pool of web."""
    event = open_event("pgbench")
    seconds = max(1, int(bench.seconds / 3))
    accounts = make_accounts(bench.size(4000 * seconds))
    script = bench.stack.folder / "insert.sql"
    script.write_text(INSERT.format(event=event.pk))
    with connection.cursor() as cursor:
        cursor.execute("DROP SEQUENCE IF EXISTS bench_accounts")
        cursor.execute(f"CREATE SEQUENCE bench_accounts START WITH {accounts[0]}")
    command = [bench.stack.postgresql_binary("pgbench"), "--no-vacuum", "--client=8", "--jobs=1"]
    window = CpuWindow(bench.stack.pids)
    output = subprocess.run(
        [*command, f"--file={script}", f"--time={seconds}", bench.stack.postgresql.url],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    used = window.close()
    rows = GuestRequest.objects.filter(event=event).count()
    latency = re.search(r"latency average = ([0-9.]+) ms", output)
    figures = {"rate": rows / window.seconds, "mean": float(latency[1]) if latency else 0.0}
    return figures | cpu_per(rows, {"PostgreSQL": used["PostgreSQL"]})
