"""Trying again what has run out of attempts: dead requests, and dead entries of the journal."""

import logging

from django.db import IntegrityError, transaction
from django.db.models import QuerySet
from django.db.models.functions import Now

from accounts.models import User

from .errors import constraint_of
from .history import acting_as
from .models import PENDING_ONCE, DeadEntry, GuestRequest
from .services import wake_guests_worker

log = logging.getLogger(__name__)


def replay_requests(requests: QuerySet[GuestRequest], *, acting_user: User | None = None) -> int:
    """Give dead requests all their attempts again. Return how many; others are left alone.

    One whose account has another request in progress for the same event stays dead.
    """
    dead = requests.filter(state=GuestRequest.State.DEAD).values_list("pk", flat=True)
    replayed = sum(_replay(pk, acting_user) for pk in list(dead))
    transaction.on_commit(wake_guests_worker)
    return replayed


def _replay(pk: int, acting_user: User | None) -> int:
    actor = acting_as(acting_user) if acting_user else transaction.atomic()
    try:
        with actor:
            replayed = GuestRequest.objects.filter(pk=pk, state=GuestRequest.State.DEAD).update(
                state=GuestRequest.State.PENDING,
                ended_at=None,
                attempts=0,
                next_attempt_at=Now(),
                error="",
            )
    except IntegrityError as error:
        if constraint_of(error) != PENDING_ONCE:
            raise
        log.warning("replay_refused", extra={"request": pk})
        return 0
    log.info("request_replayed", extra={"request": pk})
    return replayed


def replay_entries(entries: QuerySet[DeadEntry], *, actor: str) -> int:
    """Have the hosts of dead journal entries try again, within a sweep. Return how many."""
    return entries.update(replay_by=actor)
