"""The result of a storm: its responses compared with rows, journal and history."""

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
from tests.faults.storm import Response, Storm
from tests.helpers.invariants import broken_invariants


@dataclass(frozen=True)
class Limits:
    """Limits in seconds: a response, the healing, and the update of a page.

    Pages are updated sooner after an outage of the database.
    """

    response: float
    healing: float
    pages_updated: float
    pages_updated_after_outage: float


# The limits that are promised, and those for a machine that is busy with other work.
PROMISED = Limits(response=6.0, healing=15.0, pages_updated=15.0, pages_updated_after_outage=5.0)
LENIENT = Limits(response=20.0, healing=45.0, pages_updated=45.0, pages_updated_after_outage=25.0)
PATIENCE = 90.0  # seconds; a ticket that is then still in flight counts as lost


@dataclass(frozen=True)
class ScenarioResult:
    """The result of one scenario. `healing`, `pages_updated` and `slowest` are seconds."""

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
) -> ScenarioResult:
    """Wait until nothing is in flight, and return the result.

    `healed_at` is seconds since 1970, or None when nothing was broken. `dead` is the number of
    dead rows that the scenario makes. `was_outage`: the database was away.
    """
    left = wait_until_nothing_is_in_flight()
    accepted: list[Response] = []
    slowest_responses: list[Response] = []
    for storm in storms:
        accepted += storm.responses_with("accepted", "ended")
        if slowest_response := storm.slowest():
            slowest_responses.append(slowest_response)
    slowest = max(slowest_responses, key=lambda response: response.seconds)
    healing = _seconds_to_heal(accepted, healed_at or time.time())
    pages_updated = _seconds_to_update(storms, healed_at or 0)
    lost = [*_lost(accepted), *(f"still in flight: {ticket}" for ticket in left)]
    doubled = [*_doubled_guests(), *_guests_without_request()]
    over = sum(_over_capacity(event) for event in Event.objects.all())
    wrong = [*lost, *doubled, *_backwards(), *_other_errors(storms), *_broken(dead)]
    if slowest.seconds > limits.response:
        wrong.append(f"the wait for a response was too long: {slowest}")
    if healing > limits.healing:
        wrong.append(f"the last ticket ended {healing:.1f} s after the repair")
    page_limit = limits.pages_updated_after_outage if was_outage else limits.pages_updated
    if pages_updated > page_limit:
        wrong.append(f"the last page showed the end after {pages_updated:.1f} s")
    if stale := _pages_without_end(storms):
        wrong.append(f"{len(stale)} pages never showed the end, that of {stale[0]} among them")
    levels = [response.level for response in accepted]
    return ScenarioResult(
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


def _pages_without_end(storms: list[Storm]) -> list[str]:
    tickets: list[str] = []
    for storm in storms:
        tickets += [ticket for ticket in storm.opened if ticket not in storm.ended]
    return tickets


def wait_until_nothing_is_in_flight(patience: float = PATIENCE) -> list[str]:
    """Wait `patience` seconds at most, and return the tickets that are then still in flight."""
    give_up_at = time.monotonic() + patience
    # The connection from before the fault may lead to a server that has stopped.
    connection.close()
    while True:
        left = ["unknown: the database or the journal does not respond"]
        with suppress(Error, JournalError):
            left = [each.ticket_id for each in in_flight()]
        if not left or time.monotonic() > give_up_at:
            return left
        time.sleep(0.1)


def _lost(accepted: list[Response]) -> Iterator[str]:
    """Name accepted tickets and guests that exist nowhere."""
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
        if response.outcome == "ended" and response.guest_id not in guests:
            yield f"lost: guest {response.guest_id}, confirmed at level {response.level}"


def _seconds_to_heal(accepted: list[Response], healed_at: float) -> float:
    """Return the longest time from the repair, or a later acceptance, to the end of a ticket."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT extract(epoch FROM now())::float")
        (database_time,) = cursor.fetchone()
    ahead = database_time - time.time()
    changes = StateChange.objects.exclude(request=None).values_list("request__ticket_id")
    ended = dict(changes.annotate(last=Max("at")))
    longest = 0.0
    for response in accepted:
        if response.ticket_id and (ended_at := ended.get(UUID(response.ticket_id))):
            seconds = ended_at.timestamp() - ahead - max(healed_at, response.at)
            longest = max(longest, seconds)
    return longest


def _seconds_to_update(storms: list[Storm], healed_at: float) -> float:
    """Return the longest time from the repair, or from a later opening, to the end on a page."""
    longest = 0.0
    for storm in storms:
        for ticket, opened_at in storm.opened.items():
            if ticket in storm.ended:
                longest = max(longest, storm.ended[ticket] - max(healed_at, opened_at))
    return longest


def _doubled_guests() -> Iterator[str]:
    for who in ("account", "phone"):
        places = Guest.objects.values("event", who).annotate(places=Count("pk"))
        for row in places.filter(places__gt=1):
            yield f"doubled: {row['places']} guests with one {who} at event {row['event']}"


def _guests_without_request() -> Iterator[str]:
    for guest in Guest.objects.filter(guestrequest=None):
        yield f"guest {guest.pk} has no request"


def _over_capacity(event: Event) -> int:
    on_list = Guest.objects.filter(event=event, state=Guest.State.ON_LIST).count()
    return max(0, on_list - event.capacity)


def _backwards() -> Iterator[str]:
    """Name requests that left a final state, and guests that lost their place."""
    final = set(GuestRequest.State.values) - {GuestRequest.State.PENDING.value}
    for change in StateChange.objects.filter(request__isnull=False, from_state__in=final):
        yield f"request {change.request_id} went from {change.from_state} to {change.to_state}"
    gone = StateChange.objects.filter(guest__isnull=False, from_state=Guest.State.ON_LIST)
    for change in gone.exclude(to_state="checked_in"):
        yield f"guest {change.guest_id} went from {change.from_state} to {change.to_state}"


def _other_errors(storms: list[Storm]) -> Iterator[str]:
    """Name the responses that must not occur: errors, and refusals of valid requests."""
    for storm in storms:
        wrong = storm.responses_with("error", "refused")
        for response in wrong[:5]:
            yield f"{response.call} returned {response.status}: {response.detail}"
        if len(wrong) > 5:
            yield f"and {len(wrong) - 5} more like that"
        outcomes = ("accepted", "ended", "refused", "code")
        served = {response.key for response in storm.responses_with(*outcomes)}
        if waiting := len(set(storm.keys) - served):
            yield f"{waiting} requests were not accepted until the end"


def _broken(dead: int) -> list[str]:
    """Return the broken invariants, except for the expected number of dead rows."""
    broken = broken_invariants()
    are_dead = [sentence for sentence in broken if sentence.startswith(("request", "entry"))]
    rest = [sentence for sentence in broken if sentence not in are_dead]
    return rest + are_dead[dead:]
