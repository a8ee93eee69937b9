"""Requests for a place on a list, and journal entries that failed."""

from datetime import datetime
from typing import Self
from uuid import UUID, uuid4

from django.conf import settings
from django.contrib.postgres.indexes import GinIndex, OpClass
from django.db import connection, models
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from guests.models.clock import DatabaseTimeQuerySet, ReadAtDatabaseTime
from guests.models.events import Event
from guests.models.guests import Guest
from guests.models.promoters import Promoter, Team
from snap.observability.context import current_request_id, current_traceparent
from snap.search import Folded

# The names of constraints that callers distinguish by.
ONE_PENDING_REQUEST = "guests_one_pending_request_per_account"
ONE_REQUEST_PER_KEY = "guests_idempotency_key_once"

# The service level of requests that the emergency journal has accepted.
EMERGENCY_LEVEL = 3


class GuestRequestQuerySet(DatabaseTimeQuerySet["GuestRequest"]):
    def pending(self) -> Self:
        return self.filter(state=GuestRequest.State.PENDING)

    def due(self) -> Self:
        """Keep pending requests whose next attempt is due, by the database's clock."""
        return self.pending().filter(next_attempt_at__lte=Now())

    def with_ticket_details(self) -> Self:
        """Load everything that a ticket needs, with the database's time."""
        return self.with_database_time().select_related("event", "guest", "account")


class GuestRequest(ReadAtDatabaseTime):
    """An accepted request for a place on a list. The visitor follows it by its ticket id."""

    class State(models.TextChoices):
        PENDING = "pending", _("in progress")
        CREATED = "created", _("on the list")
        WAITLISTED = "waitlisted", _("waiting list")
        REFUSED = "refused", _("refused")
        DEAD = "dead", _("failed")

    ticket_id = models.UUIDField(_("ticket"), default=uuid4, unique=True, editable=False)
    event = models.ForeignKey(Event, on_delete=models.PROTECT, verbose_name=_("event"))
    account = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, verbose_name=_("account")
    )
    phone = models.CharField(_("phone"), max_length=16)
    name = models.CharField(_("name"), max_length=121)
    promoter = models.ForeignKey(
        Promoter, on_delete=models.PROTECT, null=True, blank=True, verbose_name=_("promoter")
    )
    team = models.ForeignKey(
        Team, on_delete=models.PROTECT, null=True, blank=True, verbose_name=_("team")
    )
    state = models.CharField(
        _("state"), max_length=10, choices=State, default=State.PENDING, db_default="pending"
    )
    refusal = models.CharField(_("reason"), max_length=40, blank=True)
    guest = models.ForeignKey(
        Guest, on_delete=models.PROTECT, null=True, blank=True, verbose_name=_("guest")
    )
    attempts = models.PositiveSmallIntegerField(_("attempts"), default=0)
    next_attempt_at = models.DateTimeField(_("next attempt at"), db_default=Now())
    error = models.CharField(_("error"), max_length=500, blank=True)
    # The service level at which it was accepted: 1 normal, 2 direct, 3 emergency.
    level = models.PositiveSmallIntegerField(_("level"), default=1, db_default=1)
    # The browser that registered the account during an outage. It may be signed in afterwards.
    browser = models.CharField(max_length=32, blank=True, db_default="", editable=False)
    # It was accepted during an outage, from a browser and with an email that are not the account's.
    is_second_registration = models.BooleanField(
        _("second registration"), default=False, db_default=False, editable=False
    )
    idempotency_key = models.CharField(max_length=64, blank=True, db_default="", editable=False)
    # The HTTP request that made it, and its trace: log lines of workers name them.
    request_id = models.CharField(
        max_length=64, blank=True, default=current_request_id, db_default="", editable=False
    )
    traceparent = models.CharField(
        max_length=55, blank=True, default=current_traceparent, db_default="", editable=False
    )
    accepted_at = models.DateTimeField(_("accepted at"), db_default=Now(), editable=False)
    ended_at = models.DateTimeField(_("ended at"), null=True, blank=True)

    objects = GuestRequestQuerySet.as_manager()

    class Meta:
        verbose_name = _("guest request")
        verbose_name_plural = _("guest requests")
        indexes = [
            models.Index(
                fields=["event", "id"],
                condition=models.Q(state="pending"),
                name="guests_pending_requests",
            ),
            models.Index(fields=["event", "account", "-id"], name="guests_requests_by_account"),
            # Few: the sweeper counts them every few seconds.
            models.Index(
                fields=["id"], condition=models.Q(state="dead"), name="guests_dead_requests"
            ),
            # For the list in admin (snap/search.py).
            GinIndex(
                OpClass(Folded("name"), "gin_trgm_ops"),
                OpClass("phone", "gin_trgm_ops"),
                name="guests_request_search",
            ),
            models.Index(Folded("name"), name="guests_request_by_name"),
        ]
        constraints = [
            models.UniqueConstraint(
                fields=["event", "account"],
                condition=models.Q(state="pending"),
                name=ONE_PENDING_REQUEST,
            ),
            models.UniqueConstraint(
                fields=["account", "idempotency_key"],
                condition=~models.Q(idempotency_key=""),
                name=ONE_REQUEST_PER_KEY,
            ),
            models.CheckConstraint(
                condition=models.Q(
                    state__in=["pending", "created", "waitlisted", "refused", "dead"]
                ),
                name="guests_request_state_is_known",
            ),
            models.CheckConstraint(
                condition=models.Q(state="pending", ended_at=None)
                | (~models.Q(state="pending") & models.Q(ended_at__isnull=False)),
                name="guests_request_ends_once",
            ),
            models.CheckConstraint(
                condition=~models.Q(state__in=["created", "waitlisted"])
                | models.Q(guest__isnull=False),
                name="guests_ended_request_has_its_guest",
            ),
            models.CheckConstraint(
                condition=~models.Q(state="refused") | ~models.Q(refusal=""),
                name="guests_refusal_has_a_reason",
            ),
        ]

    def __str__(self) -> str:
        return str(self.ticket_id)

    def insert(self, *, due_in: float) -> bool:
        """Insert this request, due in `due_in` seconds. Return False if the account has one.

        One statement, in SQL because `bulk_create(ignore_conflicts=True)` returns no keys. The
        unique index covers pending requests only. The guest shows a request that another process
        made and ended since the caller looked.
        """
        with connection.cursor() as cursor:
            cursor.execute(
                """
                INSERT INTO guests_guestrequest (
                    ticket_id, event_id, account_id, phone, name, promoter_id, team_id,
                    idempotency_key, request_id, traceparent, refusal, error, attempts,
                    next_attempt_at
                )
                SELECT %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, '', '', 0,
                    statement_timestamp() + %s * interval '1 second'
                WHERE NOT EXISTS (
                    SELECT FROM (
                        SELECT guest_id FROM guests_guestrequest
                        WHERE event_id = %s AND account_id = %s ORDER BY id DESC LIMIT 1
                    ) AS latest
                    JOIN guests_guest AS guest ON guest.id = latest.guest_id
                    WHERE guest.state <> 'cancelled'
                )
                ON CONFLICT DO NOTHING
                RETURNING id, next_attempt_at, accepted_at, statement_timestamp()
                """,
                [
                    self.ticket_id,
                    self.event_id,
                    self.account_id,
                    self.phone,
                    self.name,
                    self.promoter_id,
                    self.team_id,
                    self.idempotency_key,
                    self.request_id,
                    self.traceparent,
                    due_in,
                    self.event_id,
                    self.account_id,
                ],
            )
            stored = cursor.fetchone()
        if stored is None:
            return False
        self.pk, self.next_attempt_at, self.accepted_at, self.database_now = stored
        self._state.adding = False
        return True

    def has_other_place(self) -> bool:
        """Return whether another request of the account has a guest on this list. One query."""
        others = GuestRequest.objects.filter(event=self.event_id, account=self.account_id)
        placed = others.filter(guest__isnull=False).exclude(guest__state=Guest.State.CANCELLED)
        return placed.exclude(pk=self.pk).exists()

    @property
    def known_now(self) -> datetime:
        """The database's time of the read, of this row or of its event."""
        if self.has_database_time:
            return self.database_now
        return self.event.database_now

    @property
    def is_in_line(self) -> bool:
        """Return whether it was accepted past a limit and still waits for its turn."""
        waits = self.state == self.State.PENDING and not self.attempts
        return waits and self.next_attempt_at > self.database_now

    @property
    def milliseconds_in_line(self) -> float:
        """The time from the acceptance to its turn, if it was accepted past a limit.

        0 for a request that has failed, and for one of the journal, whose row is younger than it.
        """
        if self.attempts or self.level == EMERGENCY_LEVEL:
            return 0.0
        waits = (self.next_attempt_at - self.accepted_at).total_seconds() * 1000
        return max(0.0, waits)

    def position_in_line(self) -> int:
        """Return the position among the event's pending requests, from 1. One query."""
        ahead = GuestRequest.objects.pending().filter(event_id=self.event_id, pk__lt=self.pk)
        return ahead.count() + 1


class DeadEntry(models.Model):
    """A copy, for staff, of an emergency journal entry that failed all its attempts.

    The entry itself stays in the journal of its host. The host tries it again when `replay_by`
    names the person who asked for that.
    """

    ticket_id = models.UUIDField(_("ticket"), unique=True, editable=False)
    event_slug = models.CharField(_("event"), max_length=60, editable=False)
    phone = models.CharField(_("phone"), max_length=16, editable=False)
    error = models.CharField(_("error"), max_length=500, editable=False)
    attempts = models.PositiveSmallIntegerField(_("attempts"), editable=False)
    accepted_at = models.DateTimeField(_("accepted at"), editable=False)
    died_at = models.DateTimeField(_("failed at"), db_default=Now(), editable=False)
    replay_by = models.CharField(_("replay wanted by"), max_length=60, blank=True, editable=False)

    class Meta:
        verbose_name = _("failed emergency request")
        verbose_name_plural = _("failed emergency requests")

    def __str__(self) -> str:
        return str(self.ticket_id)


def parse_ticket_id(text: str) -> UUID | None:
    """Return a text as a ticket id, or None if it is not one."""
    try:
        return UUID(text)
    except ValueError:
        return None
