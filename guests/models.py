"""Events, who promotes them, the requests for a place and the guests themselves."""

from datetime import datetime
from ipaddress import ip_network
from typing import Any, Self
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo, available_timezones

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import MinValueValidator, RegexValidator
from django.db import connection, models
from django.db.models.functions import Now
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts.models import User

code_validator = RegexValidator(
    r"^[a-z0-9][a-z0-9-]*$", _("Use small letters, digits and hyphens, beginning with a letter.")
)

# Names of constraints that callers tell apart.
PENDING_ONCE = "guests_one_pending_request_per_account"
KEY_ONCE = "guests_idempotency_key_once"

# No venue has more than this: a shorter one would let half the world past the limit of an address.
SHORTEST_PREFIX = {4: 16, 6: 32}


def validate_time_zone(name: str) -> None:
    if name not in available_timezones():
        raise ValidationError(_("Write a zone like Europe/Lisbon."))


def validate_networks(text: str) -> None:
    for word in text.split():
        try:
            network = ip_network(word)
        except ValueError:
            raise ValidationError(
                _("%(network)s is not a network like 198.51.100.0/24."),
                params={"network": word[:50]},
            ) from None
        if network.num_addresses > 2 ** (network.max_prefixlen - SHORTEST_PREFIX[network.version]):
            raise ValidationError(
                _("%(network)s is too large to be one venue's."), params={"network": word[:50]}
            )


class Team(models.Model):
    """A group of promoters."""

    name = models.CharField(_("name"), max_length=80, unique=True)
    members = models.ManyToManyField(
        settings.AUTH_USER_MODEL,
        through="TeamMember",
        related_name="teams",
        verbose_name=_("members"),
    )

    class Meta:
        verbose_name = _("team")
        verbose_name_plural = _("teams")

    def __str__(self) -> str:
        return self.name


class TeamMember(models.Model):
    """An account that belongs to a team."""

    team = models.ForeignKey(Team, on_delete=models.CASCADE, verbose_name=_("team"))
    account = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, verbose_name=_("account")
    )

    class Meta:
        verbose_name = _("team member")
        verbose_name_plural = _("team members")
        constraints = [
            # The index behind it also serves look-ups by (account, team).
            models.UniqueConstraint(fields=["account", "team"], name="guests_member_once_a_team"),
        ]

    def __str__(self) -> str:
        return f"{self.account} · {self.team}"


class Promoter(models.Model):
    """Somebody with a code that appears in promo links."""

    code = models.CharField(_("code"), max_length=40, unique=True, validators=[code_validator])
    name = models.CharField(_("name"), max_length=80)
    account = models.OneToOneField(
        settings.AUTH_USER_MODEL,
        on_delete=models.SET_NULL,
        null=True,
        blank=True,
        verbose_name=_("account"),
    )

    class Meta:
        verbose_name = _("promoter")
        verbose_name_plural = _("promoters")

    def __str__(self) -> str:
        return self.name


def time_of(row: models.Model) -> datetime:
    """Return the database's time when a row was read, this host's if it was read without that."""
    return getattr(row, "read_at", None) or timezone.now()


class EventQuerySet(models.QuerySet["Event"]):
    def published(self) -> Self:
        return self.filter(is_published=True)

    def at_database_time(self) -> Self:
        """Have each event say its list's state by the database's clock, not this host's."""
        return self.annotate(read_at=Now())

    def listed(self) -> Self:
        """Published events that are not over yet, the next one first."""
        return self.published().filter(ends_at__gt=Now()).order_by("starts_at", "pk")

    def owing_places(self) -> Self:
        """Events ahead with free places for which people wait: normally there are none."""
        waiting = Guest.objects.filter(event=models.OuterRef("pk"), state=Guest.State.WAITING)
        return self.filter(
            models.Exists(waiting),
            cancelled_at=None,
            ends_at__gt=Now(),
            places_taken__lt=models.F("capacity"),
        )

    def locked(self, event_id: int, *, skip_locked: bool = False) -> Self:
        """The event, locked until the transaction ends: whoever changes its list takes this first.

        Requests that refer to the event are still accepted meanwhile.
        """
        event = self.at_database_time().filter(pk=event_id)
        return event.select_for_update(no_key=True, skip_locked=skip_locked)


class Event(models.Model):
    """What people want to enter, and the state of its list."""

    slug = models.CharField(_("address"), max_length=60, unique=True, validators=[code_validator])
    title = models.CharField(_("title"), max_length=120)
    description = models.TextField(_("description"), max_length=2000, blank=True)
    venue = models.CharField(_("venue"), max_length=120)
    address = models.CharField(_("street address"), max_length=200, blank=True)
    poster = models.ImageField(_("poster"), upload_to="posters/", blank=True)
    time_zone = models.CharField(
        _("time zone"),
        max_length=40,
        default=settings.TIME_ZONE,
        validators=[validate_time_zone],
        help_text=_("A name like Europe/Lisbon."),
    )
    starts_at = models.DateTimeField(_("starts at"))
    ends_at = models.DateTimeField(_("ends at"))
    list_opens_at = models.DateTimeField(_("list opens at"))
    list_closes_at = models.DateTimeField(_("list closes at"))
    capacity = models.PositiveIntegerField(_("capacity"))
    places_taken = models.PositiveIntegerField(_("places taken"), default=0, editable=False)
    has_waiting_list = models.BooleanField(_("waiting list"), default=True)
    shows_places_left = models.BooleanField(_("shows places left"), default=False)
    requires_proof = models.BooleanField(
        _("proof before QR"),
        default=False,
        db_default=False,
        help_text=_("Guests see their QR code once a code has proven their phone or email."),
    )
    is_published = models.BooleanField(_("published"), default=False)
    cancelled_at = models.DateTimeField(_("cancelled at"), null=True, blank=True)
    limit_per_minute = models.PositiveIntegerField(
        _("requests a minute"),
        null=True,
        blank=True,
        validators=[MinValueValidator(1)],
        help_text=_("More than these get a place in line. Empty: the usual limit."),
    )
    venue_networks = models.TextField(
        _("networks of the venue"),
        max_length=1000,
        blank=True,
        db_default="",
        validators=[validate_networks],
        help_text=_("One a line, like 198.51.100.0/24: a crowd may come from there."),
    )

    objects = EventQuerySet.as_manager()

    class Meta:
        verbose_name = _("event")
        verbose_name_plural = _("events")
        indexes = [models.Index(fields=["ends_at"], name="guests_event_by_end")]
        constraints = [
            models.CheckConstraint(
                condition=models.Q(places_taken__lte=models.F("capacity")),
                name="guests_never_over_capacity",
                violation_error_message=_("More places are taken already than that."),
            ),
            models.CheckConstraint(
                condition=models.Q(ends_at__gt=models.F("starts_at")),
                name="guests_event_ends_after_start",
                violation_error_message=_("The event must end after it starts."),
            ),
            models.CheckConstraint(
                condition=models.Q(list_closes_at__gt=models.F("list_opens_at")),
                name="guests_list_closes_after_opening",
                violation_error_message=_("The list must close after it opens."),
            ),
        ]

    def __str__(self) -> str:
        return self.title

    @property
    def zone(self) -> ZoneInfo:
        return ZoneInfo(self.time_zone)

    @property
    def local_start(self) -> datetime:
        return self.starts_at.astimezone(self.zone)

    @property
    def local_end(self) -> datetime:
        return self.ends_at.astimezone(self.zone)

    @property
    def local_list_opening(self) -> datetime:
        return self.list_opens_at.astimezone(self.zone)

    @property
    def places_left(self) -> int:
        return max(0, self.capacity - self.places_taken)

    def list_state(self, now: datetime | None = None) -> str:
        """Say what one can do with the list now: open, full, not_open_yet, closed or cancelled.

        `full` still takes requests, for the waiting list, when the event has one.
        """
        now = now or time_of(self)
        if self.cancelled_at:
            return "cancelled"
        if now >= min(self.list_closes_at, self.ends_at):
            return "closed"
        if now < self.list_opens_at:
            return "not_open_yet"
        return "full" if self.places_left == 0 else "open"

    def is_over(self) -> bool:
        return self.ends_at <= time_of(self)

    def withholds_qr_from(self, account: User) -> bool:
        """Say whether an account has to prove itself before this event shows its QR code."""
        return self.requires_proof and account.verified_at is None


class EventPromoter(models.Model):
    """A promoter works for an event, for themselves or for a team."""

    event = models.ForeignKey(Event, on_delete=models.CASCADE, verbose_name=_("event"))
    promoter = models.ForeignKey(Promoter, on_delete=models.CASCADE, verbose_name=_("promoter"))
    team = models.ForeignKey(
        Team, on_delete=models.CASCADE, null=True, blank=True, verbose_name=_("team")
    )

    class Meta:
        verbose_name = _("event promoter")
        verbose_name_plural = _("event promoters")
        constraints = [
            # The index behind it is the one for look-ups by (event, promoter, team).
            models.UniqueConstraint(
                fields=["event", "promoter", "team"],
                nulls_distinct=False,
                name="guests_promoter_once_an_event",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.promoter} · {self.event}"


class GuestQuerySet(models.QuerySet["Guest"]):
    def on_lists_of(self, account: Any) -> Self:
        """The places that an account has on lists."""
        return self.filter(account=account, state=Guest.State.ON_LIST)

    def upcoming(self) -> Self:
        """The places, on a list or in a waiting line, at events that are not over."""
        return self.filter(event__ends_at__gt=Now()).exclude(state=Guest.State.CANCELLED)


class Guest(models.Model):
    """A place on one event's list, or in its waiting line."""

    class State(models.TextChoices):
        ON_LIST = "on_list", _("on the list")
        WAITING = "waiting", _("waiting list")
        CANCELLED = "cancelled", _("cancelled")

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
    state = models.CharField(_("state"), max_length=10, choices=State)
    # The request that asked for this place last: its number is the order of the waiting line.
    queue_number = models.BigIntegerField(_("queue number"))
    # How often this guest has been given a place: each time is a cause for a QR email of its own.
    listings = models.PositiveSmallIntegerField(default=0, editable=False)
    qr_token = models.CharField(max_length=32, null=True, unique=True, editable=False)
    checked_in_at = models.DateTimeField(_("checked in at"), null=True, blank=True)
    created_at = models.DateTimeField(_("created at"), db_default=Now(), editable=False)

    objects = GuestQuerySet.as_manager()

    class Meta:
        verbose_name = _("guest")
        verbose_name_plural = _("guests")
        indexes = [
            models.Index(
                fields=["event", "queue_number"],
                condition=models.Q(state="waiting"),
                name="guests_waiting_line",
            ),
            models.Index(fields=["event", "state"], name="guests_by_event_and_state"),
        ]
        constraints = [
            models.UniqueConstraint(
                fields=["event", "account"], name="guests_one_place_per_account"
            ),
            models.UniqueConstraint(fields=["event", "phone"], name="guests_one_place_per_phone"),
            models.CheckConstraint(
                condition=models.Q(state__in=["on_list", "waiting", "cancelled"]),
                name="guests_guest_state_is_known",
            ),
            models.CheckConstraint(
                condition=models.Q(state="on_list", qr_token__isnull=False)
                | (~models.Q(state="on_list") & models.Q(qr_token__isnull=True)),
                name="guests_qr_token_while_on_list",
            ),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def is_on_list(self) -> bool:
        return self.state == self.State.ON_LIST

    @property
    def is_withheld(self) -> bool:
        """Say whether the QR code waits for a proof. Needs the event and account."""
        return self.event.withholds_qr_from(self.account)

    def has_waited(self) -> bool:
        """Say whether this place came from the waiting line. One query."""
        return StateChange.objects.filter(
            guest=self, from_state=self.State.WAITING, to_state=self.State.ON_LIST
        ).exists()

    def position(self) -> int:
        """Return the place in the waiting line, 1 being the next to get in. One query."""
        ahead = Guest.objects.filter(
            event_id=self.event_id, state=self.State.WAITING, queue_number__lt=self.queue_number
        )
        return ahead.count() + 1


class GuestRequestQuerySet(models.QuerySet["GuestRequest"]):
    def pending(self) -> Self:
        return self.filter(state=GuestRequest.State.PENDING)

    def due(self) -> Self:
        """Pending requests whose time has come, by the database's clock."""
        return self.pending().filter(next_attempt_at__lte=Now())

    def to_tell(self) -> Self:
        """With all that a ticket says, by the database's clock."""
        return self.select_related("event", "guest", "account").annotate(read_at=Now())


class GuestRequest(models.Model):
    """An accepted wish to be on a list. Its ticket id is what the person holds until it ends."""

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
    # The level of service at which it was accepted (1 normal, 2 direct, 3 emergency).
    level = models.PositiveSmallIntegerField(_("level"), default=1, db_default=1)
    # The browser that registered its account while the database was away, and may have it back.
    browser = models.CharField(max_length=32, blank=True, db_default="", editable=False)
    # Accepted in an emergency from another browser than the account's, with another email than the
    # account has.
    is_second_registration = models.BooleanField(
        _("second registration"), default=False, db_default=False, editable=False
    )
    idempotency_key = models.CharField(max_length=64, blank=True, db_default="", editable=False)
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
        ]
        constraints = [
            models.UniqueConstraint(
                fields=["event", "account"],
                condition=models.Q(state="pending"),
                name=PENDING_ONCE,
            ),
            models.UniqueConstraint(
                fields=["account", "idempotency_key"],
                condition=~models.Q(idempotency_key=""),
                name=KEY_ONCE,
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
        """Store a new request that is due in so many seconds; False if its account has one already.

        One statement: the ORM's own way to leave conflicts alone returns no keys. The index knows
        of pending requests only: one that was made and ended since the caller looked is seen by its
        guest.
        """
        with connection.cursor() as cursor:
            cursor.execute(
                """
                INSERT INTO guests_guestrequest (
                    ticket_id, event_id, account_id, phone, name, promoter_id, team_id,
                    idempotency_key, refusal, error, attempts, next_attempt_at
                )
                SELECT %s, %s, %s, %s, %s, %s, %s, %s, '', '', 0,
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
                    due_in,
                    self.event_id,
                    self.account_id,
                ],
            )
            stored = cursor.fetchone()
        if stored is None:
            return False
        self.pk, self.next_attempt_at, self.accepted_at, self.read_at = stored
        self._state.adding = False
        return True

    @property
    def is_in_line(self) -> bool:
        """Say whether it was accepted past a limit, and its turn has not come."""
        waits = self.state == self.State.PENDING and not self.attempts
        return waits and self.next_attempt_at > time_of(self)

    def place_in_line(self) -> int:
        """Return its place among the event's pending requests, 1 being the next. One query."""
        ahead = GuestRequest.objects.pending().filter(event_id=self.event_id, pk__lt=self.pk)
        return ahead.count() + 1


class DeadEntry(models.Model):
    """An entry of a host's emergency journal that could not be carried over, for staff to see.

    The entry itself stays on its host, which tries again once `replay_by` says who wants that.
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


class PooledQr(models.Model):
    """A QR token whose image lies in storage already, waiting for a guest."""

    token = models.CharField(max_length=32, primary_key=True)

    def __str__(self) -> str:
        return self.token[:4] + "…"


class StateChange(models.Model):
    """One line of the history: who changed what, when, from which state to which.

    Written by database triggers (migration 0002), so that no way of changing a row goes round it;
    rows can be added and never changed.
    """

    at = models.DateTimeField(_("when"), db_default=Now())
    request = models.ForeignKey(
        GuestRequest, on_delete=models.PROTECT, null=True, verbose_name=_("request")
    )
    guest = models.ForeignKey(Guest, on_delete=models.PROTECT, null=True, verbose_name=_("guest"))
    from_state = models.CharField(_("from"), max_length=10, blank=True)
    to_state = models.CharField(_("to"), max_length=10)
    # "account:<id>" of the staff who acted, else the process: its connection's application_name.
    actor = models.CharField(_("who"), max_length=60)

    class Meta:
        verbose_name = _("state change")
        verbose_name_plural = _("history")
        ordering = ["-id"]

    def __str__(self) -> str:
        return f"{self.from_state or '–'} → {self.to_state}"

    def save(self, *args: Any, **kwargs: Any) -> None:
        raise TypeError("The history is written by the database.")


def parse_ticket_id(text: str) -> UUID | None:
    """Return the ticket id that a text holds, or None."""
    try:
        return UUID(text)
    except ValueError:
        return None
