"""Events, and the state of their lists."""

from dataclasses import dataclass
from datetime import datetime
from typing import Self
from zoneinfo import ZoneInfo

from django.conf import settings
from django.core.validators import MinValueValidator
from django.db import models
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from accounts.models import User
from guests.models.clock import DatabaseTimeQuerySet, ReadAtDatabaseTime
from guests.models.validators import (
    CodeField,
    code_validator,
    validate_networks,
    validate_time_zone,
)
from snap.text_fields import LineField, LinesField


@dataclass(frozen=True)
class Appointment:
    """When and where an event takes place. `starts_at` is in the time zone of the event."""

    starts_at: datetime
    venue: str
    address: str

    @classmethod
    def from_json(cls, values: dict[str, str]) -> Self:
        """Return the appointment in an element of `Event.moves`."""
        zone = ZoneInfo(values["time_zone"])
        starts_at = datetime.fromisoformat(values["starts_at"]).astimezone(zone)
        return cls(starts_at, values["venue"], values["address"])

    def reads_like(self, other: "Appointment") -> bool:
        """Return whether both are the same moment, by the same clock, in the same place."""
        is_same_time = self.starts_at.isoformat() == other.starts_at.isoformat()
        return is_same_time and (self.venue, self.address) == (other.venue, other.address)

    def to_json(self) -> dict[str, str]:
        return {
            "starts_at": self.starts_at.isoformat(),
            "time_zone": str(self.starts_at.tzinfo),
            "venue": self.venue,
            "address": self.address,
        }


class EventQuerySet(DatabaseTimeQuerySet["Event"]):
    def published(self) -> Self:
        return self.filter(is_published=True)

    def listed(self) -> Self:
        """Keep published events that are not over, ordered by start."""
        return self.published().filter(ends_at__gt=Now()).order_by("starts_at", "pk")

    def locked(self, event_id: int, *, skip_locked: bool = False) -> Self:
        """Lock the event's row until the transaction ends. Each change of its list needs this.

        New requests for the event can still be inserted: their foreign key does not wait for a
        `FOR NO KEY UPDATE` lock. With `skip_locked` the result is empty while another transaction
        holds the lock.
        """
        event = self.with_database_time().filter(pk=event_id)
        return event.select_for_update(no_key=True, skip_locked=skip_locked)


class Event(ReadAtDatabaseTime):
    """An event with one guest list."""

    class ListState(models.TextChoices):
        """The states of a list. The page of all events shows events in their order."""

        OPEN = "open", _("open")
        FULL = "full", _("full")
        NOT_OPEN_YET = "not_open_yet", _("not open yet")
        CLOSED = "closed", _("closed")
        CANCELLED = "cancelled", _("cancelled")

    class Phase(models.TextChoices):
        """How far an event is."""

        UPCOMING = "upcoming", _("upcoming")
        BEGUN = "begun", _("begun")
        OVER = "over", _("over")
        CANCELLED = "cancelled", _("cancelled")

    slug = CodeField(_("name in the link"), max_length=60, unique=True, validators=[code_validator])
    title = LineField(_("title"), max_length=120)
    description = LinesField(_("description"), max_length=2000, blank=True)
    venue = LineField(_("venue"), max_length=120)
    address = LineField(_("street address"), max_length=200, blank=True)
    poster = models.ImageField(_("poster"), upload_to="posters/", blank=True)
    time_zone = LineField(
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
    waiting_list_ends_at = models.DateTimeField(
        _("waiting list ends at"),
        null=True,
        blank=True,
        help_text=_(
            "After this nobody gets a place from the waiting list. Empty: when the event ends."
        ),
    )
    shows_places_left = models.BooleanField(_("shows places left"), default=False)
    requires_proof = models.BooleanField(
        _("proof before QR"),
        default=False,
        db_default=False,
        help_text=_("Guests see their QR code once a code has proven their phone or email."),
    )
    sends_reminder = models.BooleanField(
        _("reminder the day before"),
        default=False,
        db_default=False,
        help_text=_("Guests on the list get an email the day before, between 9:00 and 21:00."),
    )
    is_published = models.BooleanField(_("published"), default=False)
    cancelled_at = models.DateTimeField(_("cancelled at"), null=True, blank=True)
    # Database triggers (migration 0008) write these three. `sequence` counts the changes that a
    # calendar file shows, and `changed_at` is the time of the last. `moves` has an element for each
    # change of time or place, oldest first: what held before, and in `at` until when.
    sequence = models.PositiveIntegerField(default=0, db_default=0, editable=False)
    changed_at = models.DateTimeField(null=True, editable=False)
    moves = models.JSONField(default=list, db_default=[], editable=False)
    # The revision up to which the holders of places were told by email (guests/news/announcing.py).
    told_sequence = models.PositiveIntegerField(default=0, db_default=0, editable=False)
    limit_per_minute = models.PositiveIntegerField(
        _("requests a minute"),
        null=True,
        blank=True,
        validators=[MinValueValidator(1)],
        help_text=_("More than these get a place in line. Empty: the usual limit."),
    )
    venue_networks = LinesField(
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

    @property
    def appointment(self) -> Appointment:
        return Appointment(self.local_start, self.venue, self.address)

    def moved_since(self, time: datetime) -> Appointment | None:
        """Return when and where the event was at a time, None if that has not changed since."""
        for move in self.moves:
            if datetime.fromisoformat(move["at"]) > time:
                known = Appointment.from_json(move)
                return None if known.reads_like(self.appointment) else known
        return None

    def phase(self, now: datetime | None = None) -> Phase:
        """Return how far the event is at a time, by default the database's."""
        now = now or self.database_now
        if self.cancelled_at:
            return self.Phase.CANCELLED
        if now >= self.ends_at:
            return self.Phase.OVER
        if now >= self.starts_at:
            return self.Phase.BEGUN
        return self.Phase.UPCOMING

    def waiting_list_has_ended(self, now: datetime | None = None) -> bool:
        """Return whether guests get no more places from the waiting list, by time."""
        now = now or self.database_now
        return now >= min(self.waiting_list_ends_at or self.ends_at, self.ends_at)

    def takes_waiting(self, now: datetime | None = None) -> bool:
        """Return whether a full list takes requests for its waiting list."""
        return self.has_waiting_list and not self.waiting_list_has_ended(now)

    def is_full_without_waiting_list(self, now: datetime | None = None) -> bool:
        """Return whether a request for a new place is refused with `list_full`."""
        return self.places_left == 0 and not self.takes_waiting(now)

    def list_state(self, now: datetime | None = None) -> ListState:
        """Return the list's state at a time, by default the database's.

        A full list still takes requests when the event has a waiting list.
        """
        now = now or self.database_now
        if self.cancelled_at:
            return self.ListState.CANCELLED
        if now >= min(self.list_closes_at, self.ends_at):
            return self.ListState.CLOSED
        if now < self.list_opens_at:
            return self.ListState.NOT_OPEN_YET
        if self.places_left == 0:
            return self.ListState.FULL
        return self.ListState.OPEN

    def is_over(self) -> bool:
        return self.ends_at <= self.database_now

    def withholds_qr_from(self, account: User) -> bool:
        """Return whether the account must prove its phone or email before it sees its QR code."""
        return self.requires_proof and account.verified_at is None
