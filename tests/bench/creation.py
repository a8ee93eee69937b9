"""Requests that a worker ends in a second, compared with the same upsert alone, and QR codes."""

from io import BytesIO
from time import perf_counter, process_time

import qrcode
from django.conf import settings
from django.db import connection, transaction

from guests.models import Event, Guest, GuestRequest
from guests.qr.codes import draw_image, fill_pool, make_token, pass_url
from guests.requests.creating import COLUMNS, UPSERT, create_due_guests
from tests.bench.bench import Bench, open_event
from tests.bench.figures import Figures, under
from tests.bench.people import make_accounts, make_due_requests
from tests.bench.usage import cpu_seconds


def creation(bench: Bench) -> Figures:
    """Measure a worker with and without QR codes made ahead, the upsert alone, and QR codes."""
    with bench.stack.without("worker", "sweeper"):
        size = bench.size(10_000)
        figures = under("worker", _end_due(bench, "creation", size))
        fill_pool(size)
        figures |= under("worker, codes ready", _end_due(bench, "creation-ahead", size))
        figures |= under("upsert", _upsert_alone(bench, size))
    return figures | under("qr", _qr(bench))


def _end_due(bench: Bench, slug: str, size: int) -> Figures:
    """End due requests in this process, as a worker does."""
    event = open_event(slug)
    make_due_requests(event, make_accounts(size))
    used, began = cpu_seconds(bench.stack.pids), perf_counter()
    create_due_guests()
    seconds, after = perf_counter() - began, cpu_seconds(bench.stack.pids)
    ended = GuestRequest.objects.filter(event=event, state=GuestRequest.State.CREATED).count()
    return _rows(ended, seconds, used, after)


def _upsert_alone(bench: Bench, size: int) -> Figures:
    """Run only the worker's upsert, each batch in its own transaction."""
    event = open_event("upsert")
    accounts = make_accounts(size)
    batches = [
        _columns(event, accounts[first : first + settings.GUEST_BATCH_SIZE])
        for first in range(0, size, settings.GUEST_BATCH_SIZE)
    ]
    used, began = cpu_seconds(bench.stack.pids), perf_counter()
    for batch in batches:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(UPSERT, batch)
    seconds, after = perf_counter() - began, cpu_seconds(bench.stack.pids)
    stored = Guest.objects.filter(event=event)
    figures = _rows(stored.count(), seconds, used, after)
    # These guests have no request, so the audit at the end must not find them on the list.
    stored.update(state=Guest.State.CANCELLED, qr_token=None)
    return figures


def _columns(event: Event, accounts: list[int]) -> list[list[object]]:
    guests = [
        Guest(
            event_id=event.pk,
            account_id=pk,
            phone=f"+3519{pk:08d}",
            name="Rita Exemplo",
            state=Guest.State.ON_LIST,
            queue_number=pk,
            listings=1,
            qr_token=make_token(),
        )
        for pk in accounts
    ]
    return [[getattr(guest, column) for guest in guests] for column in COLUMNS]


def _rows(count: int, seconds: float, before: dict[str, float], after: dict[str, float]) -> Figures:
    figures = {"rows": count, "rate": count / seconds, "microseconds a row": seconds / count * 1e6}
    for name, group in (("python", "generator"), ("PostgreSQL", "PostgreSQL")):
        figures[f"cpu/{name}"] = (after[group] - before[group]) * 1000 / count
    return figures


def _qr(bench: Bench) -> Figures:
    """Return CPU milliseconds for a code: ours, and the library as its manual uses it."""
    texts = [pass_url(make_token()) for _ in range(bench.size(1000))]
    began = process_time()
    for text in texts:
        draw_image(text)
    ours, began = process_time() - began, process_time()
    few = texts[: max(2, len(texts) // 10)]
    for text in few:
        qrcode.make(text).save(BytesIO())
    default = (process_time() - began) / len(few)
    return {"ours": ours / len(texts) * 1000, "default": default * 1000}
