"""Proving that nobody who was told "accepted" is forgotten: what the rows say, set against itself.

Each check is one statement, so it sees one moment even while workers go on.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from django.core.files.storage import default_storage
from django.db.models import Count, F, Q, QuerySet
from django.db.models.functions import Now
from django.utils import timezone
from PIL import Image, UnidentifiedImageError

from guests.emergency.entries import StoredEntry
from guests.emergency.intake import EMAIL_TAKEN
from guests.emergency.journal import get_journal
from guests.models import Event, Guest, GuestRequest
from guests.qr.codes import image_name
from notifications.models import Email


@dataclass(frozen=True)
class InFlight:
    """A request that has not ended yet, and how long ago it was accepted, in seconds."""

    ticket_id: str
    event: str
    age: float
    attempts: int
    error: str


def failures(events: QuerySet[Event] | None = None) -> Iterator[str]:
    """Yield a sentence for everything that is wrong, at some events or anywhere.

    Reads the image of each guest to come: some 0.8 ms for each of them.
    """
    at_them = Event.objects.all() if events is None else events
    yield from _doubled_guests(at_them)
    yield from _wrong_counts(at_them)
    yield from _dead_entries(events)
    yield from _lost_requests(at_them)
    yield from _doubled_emails()
    yield from _missing_images(at_them)


def in_flight(events: QuerySet[Event] | None = None) -> list[InFlight]:
    """Return the requests that have not ended yet, the oldest first: this host's journal's, then
    the database's. One query. Raises JournalError.
    """
    now = timezone.now()
    pending = GuestRequest.objects.pending()
    if events is not None:
        pending = pending.filter(event__in=events)
    journalled = [
        InFlight(
            ticket_id=stored.entry.ticket_id,
            event=stored.entry.event_slug,
            age=_seconds(datetime.fromisoformat(stored.entry.accepted_at), now),
            attempts=stored.attempts,
            error=stored.error,
        )
        for stored in _journalled("waiting", events)
    ]
    return journalled + [
        InFlight(
            ticket_id=str(request.ticket_id),
            event=request.event.slug,
            age=_seconds(request.accepted_at, now),
            attempts=request.attempts,
            error=request.error,
        )
        for request in pending.select_related("event").order_by("accepted_at").iterator()
    ]


def _journalled(state: str, events: QuerySet[Event] | None) -> list[StoredEntry]:
    stored = get_journal().in_state(state)
    if events is None:
        return stored
    slugs = set(events.values_list("slug", flat=True))
    return [each for each in stored if each.entry.event_slug in slugs]


def _seconds(start: datetime, end: datetime) -> float:
    return round(max(0.0, (end - start).total_seconds()), 1)


def _doubled_guests(events: QuerySet[Event]) -> Iterator[str]:
    for whose in ("account", "phone"):
        doubled = (
            Guest.objects.filter(event__in=events)
            .values("event", whose)
            .annotate(guests=Count("pk"))
        )
        for row in doubled.filter(guests__gt=1):
            yield f"event {row['event']}: {row['guests']} guests with one {whose}"


def _wrong_counts(events: QuerySet[Event]) -> Iterator[str]:
    on_list = Count("guest", filter=Q(guest__state=Guest.State.ON_LIST))
    for slug, listed, counted, capacity in events.annotate(on_list=on_list).values_list(
        "slug", "on_list", "places_taken", "capacity"
    ):
        if listed != counted:
            yield f"event {slug}: {listed} on the list, {counted} counted"
        if listed > capacity:
            yield f"event {slug}: {listed} on the list for {capacity} places"


def _dead_entries(events: QuerySet[Event] | None) -> Iterator[str]:
    for stored in _journalled("dead", events):
        if stored.error == EMAIL_TAKEN:
            continue  # It was refused, and its browser is told why.
        yield f"entry {stored.entry.ticket_id}: failed {stored.attempts} times ({stored.error})"


def _lost_requests(events: QuerySet[Event]) -> Iterator[str]:
    requests = GuestRequest.objects.filter(event__in=events)
    for request in requests.filter(state=GuestRequest.State.DEAD):
        yield f"request {request.ticket_id}: failed {request.attempts} times ({request.error})"
    given = requests.filter(state__in=[GuestRequest.State.CREATED, GuestRequest.State.WAITLISTED])
    somebody_elses = ~Q(guest__account=F("account")) | ~Q(guest__event=F("event"))
    for request in given.filter(Q(guest=None) | somebody_elses):
        yield f"request {request.ticket_id}: ended as {request.state} without its guest"


def _doubled_emails() -> Iterator[str]:
    doubled = Email.objects.values("kind", "cause").annotate(emails=Count("pk"))
    for row in doubled.filter(emails__gt=1):
        yield f"email {row['kind']} for {row['cause']}: queued {row['emails']} times"


def _missing_images(events: QuerySet[Event]) -> Iterator[str]:
    for guest in _guests_to_come().filter(event__in=events).iterator():
        token = guest.qr_token
        if token is None:
            yield f"guest {guest.pk}: on the list without a QR code"
        elif not _is_readable(token) and _guests_to_come().filter(qr_token=token).exists():
            yield f"guest {guest.pk}: the image of the QR code cannot be read"


def _guests_to_come() -> QuerySet[Guest]:
    return Guest.objects.filter(state=Guest.State.ON_LIST, event__ends_at__gt=Now())


def _is_readable(token: str) -> bool:
    try:
        with default_storage.open(image_name(token)) as file, Image.open(file) as image:
            image.verify()
    except (OSError, SyntaxError, UnidentifiedImageError):
        return False
    return True
