"""The audit: checks that no accepted request is lost and that no invariant of a list is broken.

Each check of the database is one statement, so it sees one moment while workers go on.
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
    """A request that has not ended. `age` is in seconds since it was accepted."""

    ticket_id: str
    event: str
    age: float
    attempts: int
    error: str


def failures(events: QuerySet[Event] | None = None) -> Iterator[str]:
    """Yield a sentence for each failure, at the given events or at all.

    It reads the QR image of each guest on a list of an event that is not over. That takes about
    0.8 ms for each image.
    """
    checked = events
    if checked is None:
        checked = Event.objects.all()
    yield from _doubled_guests(checked)
    yield from _wrong_counts(checked)
    yield from _dead_entries(events)
    yield from _lost_requests(checked)
    yield from _doubled_emails()
    yield from _missing_images(checked)


def in_flight(events: QuerySet[Event] | None = None) -> list[InFlight]:
    """Return the requests that have not ended, at the given events or at all.

    The waiting entries of this host's journal come first, then the database's pending requests,
    each oldest first. One query. Raises JournalError.
    """
    now = timezone.now()
    found = []
    for stored in _journal_entries("waiting", events):
        entry = stored.entry
        found.append(
            InFlight(
                ticket_id=entry.ticket_id,
                event=entry.event_slug,
                age=_seconds(datetime.fromisoformat(entry.accepted_at), now),
                attempts=stored.attempts,
                error=stored.error,
            )
        )
    pending = GuestRequest.objects.pending().select_related("event").order_by("accepted_at")
    if events is not None:
        pending = pending.filter(event__in=events)
    for request in pending.iterator():
        found.append(
            InFlight(
                ticket_id=str(request.ticket_id),
                event=request.event.slug,
                age=_seconds(request.accepted_at, now),
                attempts=request.attempts,
                error=request.error,
            )
        )
    return found


def _journal_entries(state: str, events: QuerySet[Event] | None) -> list[StoredEntry]:
    stored = get_journal().in_state(state)
    if events is None:
        return stored
    slugs = set(events.values_list("slug", flat=True))
    return [each for each in stored if each.entry.event_slug in slugs]


def _seconds(start: datetime, end: datetime) -> float:
    return round(max(0.0, (end - start).total_seconds()), 1)


def _doubled_guests(events: QuerySet[Event]) -> Iterator[str]:
    guests = Guest.objects.filter(event__in=events)
    for field in ("account", "phone"):
        doubled = (
            guests.exclude(**{field: None})
            .values("event", field)
            .annotate(guests=Count("pk"))
            .filter(guests__gt=1)
        )
        for row in doubled:
            yield f"event {row['event']}: {row['guests']} guests with one {field}"


def _wrong_counts(events: QuerySet[Event]) -> Iterator[str]:
    on_list = Count("guest", filter=Q(guest__state=Guest.State.ON_LIST))
    counts = events.annotate(on_list=on_list)
    for slug, listed, counted, capacity in counts.values_list(
        "slug", "on_list", "places_taken", "capacity"
    ):
        if listed != counted:
            yield f"event {slug}: {listed} on the list, {counted} counted"
        if listed > capacity:
            yield f"event {slug}: {listed} on the list for {capacity} places"


def _dead_entries(events: QuerySet[Event] | None) -> Iterator[str]:
    for stored in _journal_entries("dead", events):
        if stored.error == EMAIL_TAKEN:
            continue  # It was refused, and its ticket shows that.
        yield f"entry {stored.entry.ticket_id}: failed {stored.attempts} times ({stored.error})"


def _lost_requests(events: QuerySet[Event]) -> Iterator[str]:
    requests = GuestRequest.objects.filter(event__in=events)
    for request in requests.filter(state=GuestRequest.State.DEAD):
        yield f"request {request.ticket_id}: failed {request.attempts} times ({request.error})"
    placed = requests.filter(state__in=[GuestRequest.State.CREATED, GuestRequest.State.WAITLISTED])
    has_other_guest = ~Q(guest__account=F("account")) | ~Q(guest__event=F("event"))
    for request in placed.filter(Q(guest=None) | has_other_guest):
        yield f"request {request.ticket_id}: ended as {request.state} without its guest"


def _doubled_emails() -> Iterator[str]:
    doubled = Email.objects.values("kind", "cause").annotate(emails=Count("pk"))
    for row in doubled.filter(emails__gt=1):
        yield f"email {row['kind']} for {row['cause']}: queued {row['emails']} times"


def _missing_images(events: QuerySet[Event]) -> Iterator[str]:
    for guest in _upcoming_on_list().filter(event__in=events).iterator():
        token = guest.qr_token
        if token is None:
            yield f"guest {guest.pk}: on the list without a QR code"
        elif not _is_readable(token) and _upcoming_on_list().filter(qr_token=token).exists():
            yield f"guest {guest.pk}: the image of the QR code cannot be read"


def _upcoming_on_list() -> QuerySet[Guest]:
    return Guest.objects.filter(state=Guest.State.ON_LIST, event__ends_at__gt=Now())


def _is_readable(token: str) -> bool:
    try:
        with default_storage.open(image_name(token)) as file, Image.open(file) as image:
            image.verify()
    except (OSError, SyntaxError, UnidentifiedImageError):
        return False
    return True
