"""Replay of requests and journal entries that are dead: all their attempts have failed."""

import logging
from collections.abc import Sequence

from django.db import IntegrityError, transaction
from django.db.models import QuerySet
from django.db.models.functions import Now

from accounts.models import User
from guests.actor import acting_as
from guests.exceptions import constraint_of
from guests.models import ONE_PENDING_REQUEST, DeadEntry, GuestRequest
from guests.requests.accepting import wake_guests_worker
from guests.requests.pushes import push_places_changed

log = logging.getLogger(__name__)


# Requests that are replayed in one transaction.
REPLAY_BATCH = 100


def replay_requests(requests: QuerySet[GuestRequest], *, acting_user: User | None = None) -> int:
    """Give dead requests all their attempts again, in batches. Return how many were replayed.

    Requests in other states are left alone. A request whose account has another pending request for
    the event stays dead.
    """
    dead = list(requests.filter(state=GuestRequest.State.DEAD).values_list("pk", flat=True))
    replayed = 0
    for start in range(0, len(dead), REPLAY_BATCH):
        replayed += replay_batch(dead[start : start + REPLAY_BATCH], acting_user=acting_user)
    return replayed


def replay_batch(requests: Sequence[int], *, acting_user: User | None = None) -> int:
    """Replay dead requests by primary key, in one transaction. Return how many were replayed.

    When one of them cannot be replayed, each is replayed in a transaction of its own.
    """
    try:
        return _replay(requests, acting_user)
    except IntegrityError:
        return sum(_replay_alone(pk, acting_user) for pk in requests)


def _replay_alone(pk: int, acting_user: User | None) -> int:
    try:
        return _replay([pk], acting_user)
    except IntegrityError as error:
        if constraint_of(error) != ONE_PENDING_REQUEST:
            raise
        log.warning("replay_refused", extra={"request": pk})
        return 0


def _replay(requests: Sequence[int], acting_user: User | None) -> int:
    with acting_as(acting_user) if acting_user else transaction.atomic():
        dead = GuestRequest.objects.filter(pk__in=requests, state=GuestRequest.State.DEAD)
        push_places_changed(dead)
        replayed = dead.update(
            state=GuestRequest.State.PENDING,
            ended_at=None,
            attempts=0,
            next_attempt_at=Now(),
            error="",
        )
        transaction.on_commit(wake_guests_worker)
    log.info("requests_replayed", extra={"requests": replayed})
    return replayed


def replay_entries(entries: QuerySet[DeadEntry], *, actor: str) -> int:
    """Request a replay of dead journal entries. Return how many.

    The sweeper of the entry's host starts it, within SWEEP_INTERVAL. `actor` goes into the history.
    """
    return entries.update(replay_by=actor)
