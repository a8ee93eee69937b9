"""500 people who call `create` at the same time, and the page of another visitor meanwhile."""

import asyncio
import json
import secrets
from time import perf_counter

from django.conf import settings

from tests.bench.bench import Bench, open_event
from tests.bench.figures import Figures, milliseconds, under
from tests.bench.people import make_accounts, sessions_of
from tests.bench.wire import Browser

PEOPLE = 500
CREATE = b"/api/client-auth/guests/create"
PAGE_INTERVAL = 0.05  # seconds


def peak(bench: Bench) -> Figures:
    """Return how many people got a place, a ticket or a 503, and how long they waited."""
    event = open_event("peak")
    accounts = make_accounts(bench.size(PEOPLE))
    sessions = sessions_of(accounts)
    body = json.dumps({"event_id": event.pk}).encode()
    return asyncio.run(_peak(bench.stack.url, event.slug, list(sessions.values()), body))


async def _peak(url: str, slug: str, sessions: list[bytes], body: bytes) -> Figures:
    statuses: list[int] = []
    waited: list[float] = []
    looks: list[float] = []

    async def ask(session: bytes) -> None:
        browser, token = Browser(url), secrets.token_hex(16).encode()
        browser.cookies[settings.SESSION_COOKIE_NAME.encode()] = session
        browser.cookies[settings.CSRF_COOKIE_NAME.encode()] = token
        began = perf_counter()
        response = await browser.post(
            CREATE, body, b"X-CSRFToken: %b\r\n" % token, b"application/json"
        )
        waited.append(perf_counter() - began)
        statuses.append(response.status)
        browser.close()

    async def look() -> None:
        browser = Browser(url)
        while True:
            began = perf_counter()
            await browser.get(f"/promo/{slug}/".encode())
            looks.append(perf_counter() - began)
            await asyncio.sleep(PAGE_INTERVAL)

    looking = asyncio.create_task(look())
    await asyncio.sleep(0.5)
    looks.clear()
    await asyncio.gather(*(ask(session) for session in sessions))
    looking.cancel()
    counted = {str(status): float(statuses.count(status)) for status in (200, 202, 503)}
    others = len(statuses) - sum(counted.values())
    return (
        under("answers", counted | {"others": others})
        | under("create", milliseconds(waited) | {"max": max(waited) * 1000})
        | under("page", milliseconds(looks) | {"max": max(looks, default=0) * 1000})
    )
