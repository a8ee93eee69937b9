"""Speed with more web workers, and with lists of a thousand to a million guests."""

import asyncio
import secrets
import time
from urllib.parse import urlencode

from django.conf import settings

from accounts.models import User
from guests.models import Event
from tests.bench.bench import Bench, open_event
from tests.bench.crowds import fill_list
from tests.bench.figures import Figures, milliseconds, percentile, under
from tests.bench.journey import CSRF, Times, closed_loop
from tests.bench.usage import CpuWindow, cpu_seconds
from tests.bench.wire import Browser

WORKERS = (1, 2)
SIZES = (1_000, 100_000, 1_000_000)
USERS = 64
CALLS, JOURNEYS, HEAVY_CALLS = 2_000, 200, 20
# The cost of a step is the CPU of these groups while nothing else runs.
AT_WORK = ("web", "worker", "PostgreSQL", "Valkey", "ws", "emails", "sweeper")
# An older release may not have the export, which is then not measured.
ADMIN_LIST = "/admin/guests/guest/?event__id__exact={event}"
# Searches of all guests and one sort, by the figure's name.
SEARCHES = {
    "search name": "/admin/guests/guest/?q=joao+conceicao",
    "search digits": "/admin/guests/guest/?q=4321",
    "search short": "/admin/guests/guest/?q=xq",
    "sort name": "/admin/guests/guest/?o=1",
    "search account": "/admin/accounts/user/?q=conceicao",
}
EXPORT = "/admin/guests/event/{event}/guest-list.csv"
PASSWORD = "only for the bench"


def growth(bench: Bench) -> Figures:
    """Measure journeys with one and two web workers, and each step on longer and longer lists."""
    figures: Figures = {}
    event = open_event("growth")
    for workers in WORKERS:
        bench.stack.restart("web", WEB_WORKERS=str(workers))
        bench.settle()
        figures |= under(f"web workers/{workers}", asyncio.run(_journeys(bench, event)))
    bench.stack.restart("web")
    bench.settle()
    _steps(bench, event)  # Warms the processes.
    for size in SIZES:
        crowd = open_event(f"growth-{size}")
        fill_list(crowd, bench.size(size))
        bench.settle()
        figures |= under(f"guests/{size}", _steps(bench, crowd))
    return figures


async def _journeys(bench: Bench, event: Event) -> Figures:
    times, over = Times(is_open=False), asyncio.Event()
    loop = asyncio.create_task(
        closed_loop(lambda: bench.journey(event), bench.size(USERS), times, over)
    )
    await asyncio.sleep(bench.seconds / 6)
    window, times.is_open = CpuWindow(bench.stack.pids), True
    await asyncio.sleep(bench.seconds / 2)
    times.is_open = False
    window.close()
    over.set()
    await loop
    p95 = percentile(times.steps.get("journey", []), 95) * 1000
    return {"rate": times.journeys / window.seconds, "p95": p95, "errors": len(times.errors)}


def _steps(bench: Bench, event: Event) -> Figures:
    """Measure each step alone, one call after the other."""
    phone = f"+351{bench.phones.next()}"
    User.objects.create_superuser(phone, PASSWORD, first_name="Staff", last_name="Exemplo")
    figures = asyncio.run(_pages(bench, event, phone))
    began = time.monotonic()
    good, output = bench.stack.audit()
    if not good:
        print(f"    audit failed: {output[-300:]}", flush=True)
    return figures | {"audit/seconds": time.monotonic() - began, "audit/clean": float(good)}


async def _pages(bench: Bench, event: Event, staff: str) -> Figures:
    session = await _sign_in(bench, staff)
    page = f"/promo/{event.slug}/".encode()
    figures = under("page", await _get(bench, page, bench.size(CALLS)))
    figures |= under("check", await _check(bench, page, bench.size(CALLS)))
    figures |= under("create", await _create(bench, event, bench.size(JOURNEYS)))
    admin = ADMIN_LIST.format(event=event.pk).encode()
    figures |= under("admin", await _get(bench, admin, bench.size(HEAVY_CALLS), session))
    for name, path in SEARCHES.items():
        figures |= under(name, await _get(bench, path.encode(), bench.size(HEAVY_CALLS), session))
    export = EXPORT.format(event=event.pk).encode()
    return figures | under("export", await _get(bench, export, 1, session))


async def _sign_in(bench: Bench, staff: str) -> bytes:
    """Sign in to admin, and return the value of the session cookie."""
    browser, path = Browser(bench.stack.url), b"/admin/login/?next=/admin/"
    token = CSRF.search((await browser.get(path)).body)
    given = {"csrfmiddlewaretoken": token[1].decode() if token else "", "username": staff}
    await browser.post(path, urlencode(given | {"password": PASSWORD}).encode())
    browser.close()
    return browser.cookies.get(settings.SESSION_COOKIE_NAME.encode(), b"")


async def _get(bench: Bench, path: bytes, calls: int, session: bytes = b"") -> Figures:
    browser, taken = Browser(bench.stack.url), []
    if session:
        browser.cookies[settings.SESSION_COOKIE_NAME.encode()] = session
    if (first := await browser.get(path)).status != 200:
        print(f"    {path.decode()}: {first.status}, not measured", flush=True)
        browser.close()
        return {}
    used = cpu_seconds(bench.stack.pids)
    for _ in range(calls):
        began = time.perf_counter()
        await browser.get(path)
        taken.append(time.perf_counter() - began)
    browser.close()
    return milliseconds(taken) | {"cpu": _cost(bench, used, calls)}


async def _check(bench: Bench, page: bytes, calls: int) -> Figures:
    """Send unknown phones by the page."""
    browser, taken = Browser(bench.stack.url), []
    browser.cookies[settings.CSRF_COOKIE_NAME.encode()] = token = secrets.token_hex(16).encode()
    headers = b"HX-Request: true\r\nX-CSRFToken: %b\r\n" % token
    used = cpu_seconds(bench.stack.pids)
    for number in range(calls):
        began = time.perf_counter()
        response = await browser.post(
            page + b"-/phone/", b"country=PT&phone=%d" % (960_000_000 + number), headers
        )
        taken.append(time.perf_counter() - began)
        assert response.status == 200, response.body[:200]
    browser.close()
    return milliseconds(taken) | {"cpu": _cost(bench, used, calls)}


async def _create(bench: Bench, event: Event, journeys: int) -> Figures:
    """Go journeys one after the other, and measure from the request to the QR code."""
    used, taken = cpu_seconds(bench.stack.pids), []
    for _ in range(journeys):
        steps = await bench.journey(event).run()
        taken.append(steps["request to QR"])
    return milliseconds(taken) | {"cpu": _cost(bench, used, journeys)}


def _cost(bench: Bench, before: dict[str, float], calls: int) -> float:
    after = cpu_seconds(bench.stack.pids)
    return sum(after[name] - before[name] for name in AT_WORK) * 1000 / calls
