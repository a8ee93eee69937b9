"""After a storm: what everybody was told against what the rows, the journal and the history say."""

import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from uuid import UUID

from django.db import Error, connection
from django.db.models import Count, Max

from guests.audit import in_flight
from guests.emergency.journal import JournalError, get_journal
from guests.models import Event, Guest, GuestRequest, StateChange
from tests.faults.storm import Answer, Storm
from tests.helpers.invariants import broken_invariants


@dataclass(frozen=True)
class Limits:
    """Seconds that anybody may wait for an answer, that it may take to heal, and that a page may
    take to show the end; less than that after an outage of the database.
    """

    response: float
    healing: float
    pages_updated: float
    pages_updated_after_outage: float


# What is promised, and what shows that something hangs on a machine that is busy with other work.
PROMISED = Limits(response=6.0, healing=15.0, pages_updated=15.0, pages_updated_after_outage=5.0)
LENIENT = Limits(response=20.0, healing=45.0, pages_updated=45.0, pages_updated_after_outage=25.0)
PATIENCE = 90.0  # seconds after which what is still in flight counts as lost


@dataclass(frozen=True)
class Verdict:
    """What one scenario came to. `healing`, `pages_updated` and `slowest` are seconds."""

    accepted: int
    lost: int
    doubled: int
    over_capacity: int
    slowest: float
    healing: float
    pages_updated: float
    by_level: dict[int, int] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)


def judge(
    storms: list[Storm],
    *,
    healed_at: float | None,
    limits: Limits,
    was_outage: bool = False,
    dead: int = 0,
) -> Verdict:
    """Wait until nothing is in flight any more, and say what became of everybody.

    `healed_at` is seconds since 1970, None when nothing had to heal. `dead` rows are allowed,
    visible to staff as they are. `was_outage`: the database was away.
    """
    left = wait_until_nothing_is_in_flight()
    accepted = [a for storm in storms for a in storm.heard("accepted", "ended")]
    answers = [response for storm in storms if (response := storm.slowest())]
    slowest = max(answers, key=lambda response: response.seconds)
    healing = _seconds_to_heal(accepted, healed_at or time.time())
    pages_updated = _seconds_to_update(storms, healed_at or 0)
    lost = [*_lost(accepted), *(f"still in flight: {ticket}" for ticket in left)]
    doubled = [*_doubled_guests(), *_guests_without_request()]
    over = sum(_over_capacity(event) for event in Event.objects.all())
    wrong = [*lost, *doubled, *_backwards(), *_other_errors(storms), *_broken(dead)]
    if slowest.seconds > limits.response:
        wrong.append(f"somebody waited too long: {slowest}")
    if healing > limits.healing:
        wrong.append(f"the last ticket ended {healing:.1f} s after the healing")
    if pages_updated > (limits.pages_updated_after_outage if was_outage else limits.pages_updated):
        wrong.append(f"the last page showed the end after {pages_updated:.1f} s")
    if deaf := [ticket for storm in storms for ticket in storm.opened if ticket not in storm.ended]:
        wrong.append(f"{len(deaf)} pages never showed the end, that of {deaf[0]} among them")
    levels = [response.level for response in accepted]
    return Verdict(
        accepted=len(accepted),
        lost=len(lost),
        doubled=len(doubled),
        over_capacity=over,
        slowest=round(slowest.seconds, 2),
        healing=round(healing, 1),
        pages_updated=round(pages_updated, 1),
        by_level={level: levels.count(level) for level in sorted(set(levels))},
        wrong=wrong,
    )


def wait_until_nothing_is_in_flight(patience: float = PATIENCE) -> list[str]:
    """Return the tickets that are in flight still when the patience (seconds) is over."""
    give_up_at = time.monotonic() + patience
    # The connection of before the fault may be one to a server that is no more.
    connection.close()
    while True:
        left = ["unknown: the database or the journal does not answer"]
        with suppress(Error, JournalError):
            left = [each.ticket_id for each in in_flight()]
        if not left or time.monotonic() > give_up_at:
            return left
        time.sleep(0.1)


def _lost(accepted: list[Answer]) -> Iterator[str]:
    """Name the tickets, and the guests told of at once, that are nowhere."""
    ended = set(
        GuestRequest.objects.exclude(state=GuestRequest.State.PENDING).values_list(
            "ticket_id", flat=True
        )
    )
    dead = {UUID(stored.entry.ticket_id) for stored in get_journal().in_state("dead")}
    guests = set(Guest.objects.values_list("pk", flat=True))
    for response in accepted:
        if response.ticket_id and UUID(response.ticket_id) not in ended | dead:
            yield f"lost: {response.ticket_id}, accepted at level {response.level}"
        if response.said == "ended" and response.guest_id not in guests:
            yield f"lost: guest {response.guest_id}, told of at level {response.level}"


def _seconds_to_heal(accepted: list[Answer], healed_at: float) -> float:
    """Return how long a ticket took at most, counted from the healing or its later acceptance."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT extract(epoch FROM now())::float")
        (database_time,) = cursor.fetchone()
    ahead = database_time - time.time()
    ended = {
        change["request__ticket_id"]: change["last"].timestamp() - ahead
        for change in StateChange.objects.exclude(request=None)
        .values("request__ticket_id")
        .annotate(last=Max("at"))
    }
    return max(
        (
            max(0.0, ended[ticket] - max(healed_at, response.at))
            for response in accepted
            if response.ticket_id and (ticket := UUID(response.ticket_id)) in ended
        ),
        default=0.0,
    )


def _seconds_to_update(storms: list[Storm], healed_at: float) -> float:
    """Return how long a page took at most to show the end, counted in the same way."""
    waits = [
        storm.ended[ticket] - max(healed_at, opened)
        for storm in storms
        for ticket, opened in storm.opened.items()
        if ticket in storm.ended
    ]
    return max(0.0, *waits) if waits else 0.0


def _doubled_guests() -> Iterator[str]:
    for who in ("account", "phone"):
        places = Guest.objects.values("event", who).annotate(places=Count("pk"))
        for row in places.filter(places__gt=1):
            yield f"doubled: {row['places']} guests with one {who} at event {row['event']}"


def _guests_without_request() -> Iterator[str]:
    for guest in Guest.objects.filter(guestrequest=None):
        yield f"guest {guest.pk} never asked"


def _over_capacity(event: Event) -> int:
    on_list = Guest.objects.filter(event=event, state=Guest.State.ON_LIST).count()
    return max(0, on_list - event.capacity)


def _backwards() -> Iterator[str]:
    """Name the requests that left a final state, and the guests who fell back."""
    final = set(GuestRequest.State.values) - {GuestRequest.State.PENDING.value}
    for change in StateChange.objects.filter(request__isnull=False, from_state__in=final):
        yield f"request {change.request_id} went from {change.from_state} to {change.to_state}"
    gone = StateChange.objects.filter(guest__isnull=False, from_state=Guest.State.ON_LIST)
    for change in gone.exclude(to_state="checked_in"):
        yield f"guest {change.guest_id} went from {change.from_state} to {change.to_state}"


def _other_errors(storms: list[Storm]) -> Iterator[str]:
    """Name the answers that nobody should ever get: errors, and refusals of what is in order."""
    for storm in storms:
        wrong = storm.heard("error", "refused")
        for response in wrong[:5]:
            yield f"{response.call} was answered {response.status}: {response.detail}"
        if len(wrong) > 5:
            yield f"and {len(wrong) - 5} more like that"
        served = {a.key for a in storm.heard("accepted", "ended", "refused", "code")}
        if waiting := len(set(storm.keys) - served):
            yield f"{waiting} people were still not accepted at the end"


def _broken(dead: int) -> list[str]:
    """Return what breaks the invariants, without that many rows which are dead and visible."""
    broken = broken_invariants()
    are_dead = [sentence for sentence in broken if sentence.startswith(("request", "entry"))]
    rest = [sentence for sentence in broken if sentence not in are_dead]
    return rest + are_dead[dead:]
