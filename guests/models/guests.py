"""Guests: places on lists and on waiting lists."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from math import ceil
from typing import Any, Self

from django.conf import settings
from django.contrib.postgres.indexes import GinIndex, OpClass
from django.db import models
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from accounts.names import MAX_FULL_NAME_LENGTH, NameField
from guests.models.clock import DatabaseTimeQuerySet, ReadAtDatabaseTime
from guests.models.events import Event
from guests.models.promoters import Promoter, Team
from snap.search import Folded
from snap.text_fields import LineField


class GuestQuerySet(DatabaseTimeQuerySet["Guest"]):
    def with_place_details(self) -> Self:
        """Load what `place_status.status_of` reads, with the database's time."""
        return self.with_database_time().select_related("event", "account")

    def with_token(self, token: str) -> "Guest | None":
        """Return the guest whose QR code has this token, or had it before.

        One query, two when the token was revoked.
        """
        return self.with_tokens([token]).get(token)

    def with_tokens(self, tokens: Iterable[str]) -> "dict[str, Guest]":
        """Return guests by the token that their QR code has, or had before. At most two queries."""
        missing = set(tokens)
        found: dict[str, Guest] = {}
        for guest in self.filter(qr_token__in=missing):
            found[guest.qr_token or ""] = guest
        if missing := missing - set(found):
            revoked: Any = self.filter(revokedqr__token__in=missing)
            for guest in revoked.annotate(revoked_token=models.F("revokedqr__token")):
                found[guest.revoked_token] = guest
        return found

    def on_lists_of(self, account: Any) -> Self:
        """Keep the places that an account has on lists, without waiting lists."""
        return self.filter(account=account, state=Guest.State.ON_LIST)

    def upcoming(self) -> Self:
        """Keep places on lists and on waiting lists of events that are not over."""
        return self.filter(event__ends_at__gt=Now()).exclude(state=Guest.State.CANCELLED)

    def positions(self, ids: Iterable[int]) -> dict[int, int]:
        """Return the positions on waiting lists, from 1, of guests by id. One query."""
        ahead = Guest.objects.filter(
            event=models.OuterRef("event"),
            state=Guest.State.WAITING,
            queue_number__lt=models.OuterRef("queue_number"),
        )
        # An aggregate of Django would count each row for itself.
        number = models.Func(template="count(*)", output_field=models.IntegerField())
        count = ahead.order_by().values(number=number)
        counted = self.filter(pk__in=ids).annotate(ahead=models.Subquery(count))
        return {pk: ahead + 1 for pk, ahead in counted.values_list("pk", "ahead")}

    def leaving(self) -> Self:
        """Keep the places that their holders have given back, and that are not free yet."""
        return self.filter(leaves_at__isnull=False).exclude(state=Guest.State.CANCELLED)

    def due_to_leave(self) -> Self:
        """Keep the places whose holders can no longer undo giving them back."""
        return self.leaving().filter(leaves_at__lte=Now(), checked_in_at=None)


class Guest(ReadAtDatabaseTime):
    """A place on one event's list, or on its waiting list."""

    class State(models.TextChoices):
        ON_LIST = "on_list", _("on the list")
        WAITING = "waiting", _("waiting list")
        CANCELLED = "cancelled", _("cancelled")

    class Ending(models.TextChoices):
        """Why a guest is cancelled."""

        REMOVED = "removed", _("taken off the list")
        GIVEN_BACK = "given_back", _("given back")
        MOVED = "moved", _("moved to another event")

    event = models.ForeignKey(Event, on_delete=models.PROTECT, verbose_name=_("event"))
    account = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, verbose_name=_("account")
    )
    # Null for a guest whom staff added without a phone.
    phone = models.CharField(_("phone"), max_length=16, null=True)
    name = NameField(_("name"), max_length=MAX_FULL_NAME_LENGTH)
    note = LineField(
        _("note"),
        max_length=200,
        blank=True,
        default="",
        db_default="",
        help_text=_("For the team and the door: the guest does not see it."),
    )
    promoter = models.ForeignKey(
        Promoter, on_delete=models.PROTECT, null=True, blank=True, verbose_name=_("promoter")
    )
    team = models.ForeignKey(
        Team, on_delete=models.PROTECT, null=True, blank=True, verbose_name=_("team")
    )
    state = models.CharField(_("state"), max_length=10, choices=State)
    # The id of the latest request for this place. The waiting list is in the order of these ids.
    queue_number = models.BigIntegerField(_("queue number"))
    # How many times this guest has been given a place. Each time one QR email is sent.
    listings = models.PositiveSmallIntegerField(default=0, editable=False)
    qr_token = models.CharField(max_length=32, null=True, unique=True, editable=False)
    # A database trigger (migration 0008) writes these two with each change of the state, and
    # clears the next two when the guest is no longer cancelled. `state_since` is null before the
    # first change.
    state_since = models.DateTimeField(null=True, editable=False)
    is_promoted = models.BooleanField(default=False, db_default=False, editable=False)
    ending = models.CharField(
        _("reason"),
        max_length=12,
        choices=Ending,
        blank=True,
        default="",
        db_default="",
        editable=False,
    )
    # The event at which a guest who was moved has a place.
    moved_to = models.ForeignKey(
        Event,
        on_delete=models.SET_NULL,
        null=True,
        blank=True,
        related_name="+",
        editable=False,
        db_constraint=False,
        db_index=False,
    )
    checked_in_at = models.DateTimeField(_("checked in at"), null=True, blank=True)
    # When the place that its holder has given back becomes free. A trigger (migration 0009) clears
    # it when the guest is checked in or gets a place again.
    leaves_at = models.DateTimeField(_("given back at"), null=True, blank=True, editable=False)
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
            # For the lists in admin (snap/search.py).
            GinIndex(
                OpClass(Folded("name"), "gin_trgm_ops"),
                OpClass("phone", "gin_trgm_ops"),
                name="guests_guest_search",
            ),
            models.Index(Folded("name"), name="guests_guest_by_name"),
            models.Index(
                fields=["leaves_at"],
                condition=models.Q(leaves_at__isnull=False) & ~models.Q(state="cancelled"),
                name="guests_leaving",
            ),
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
    def is_leaving(self) -> bool:
        """Whether the holder has given the place back and can still undo that."""
        return self.leaves_at is not None and self.state != self.State.CANCELLED

    def seconds_to_undo(self, now: datetime) -> int:
        """Return the seconds in which the holder can undo giving the place back, rounded up."""
        if self.leaves_at is None:
            return 0
        return max(0, ceil((self.leaves_at - now).total_seconds()))

    def give_back(self) -> bool:
        """Have the place become free in GIVE_BACK_SECONDS. Return whether it was given back now.

        A place that was checked in, cancelled or given back before stays as it is, and so does one
        at an event that is cancelled or over. One statement.
        """
        running = Event.objects.filter(cancelled_at=None, ends_at__gt=Now())
        # A subquery for the event alone: the guest's own columns are compared again after a wait.
        is_running = models.Exists(running.filter(pk=models.OuterRef("event")))
        held = Guest.objects.filter(is_running, pk=self.pk, checked_in_at=None, leaves_at=None)
        held = held.exclude(state=self.State.CANCELLED)
        wait = timedelta(seconds=settings.GIVE_BACK_SECONDS)
        return bool(held.update(leaves_at=Now() + wait))

    def keep(self) -> bool:
        """Undo giving the place back. Return False if it is free already. One statement."""
        return bool(Guest.objects.leaving().filter(pk=self.pk).update(leaves_at=None))

    def check_in(self) -> bool:
        """Note that the guest has come in. Return False for one who may not, or who is inside.

        Staff do so while the event is not cancelled, and at any hour: clocks at doors are wrong.
        One statement.
        """
        may_enter = Guest.objects.filter(pk=self.pk, state=self.State.ON_LIST, checked_in_at=None)
        at_event = Event.objects.filter(pk=models.OuterRef("event"), cancelled_at=None)
        return bool(may_enter.filter(models.Exists(at_event)).update(checked_in_at=Now()))

    def undo_check_in(self) -> bool:
        """Undo checking in. Return False for a guest who is not checked in. One statement."""
        inside = Guest.objects.filter(pk=self.pk, state=self.State.ON_LIST)
        return bool(inside.exclude(checked_in_at=None).update(checked_in_at=None))

    @property
    def is_withheld(self) -> bool:
        """Return whether the QR code waits for a proof. Reads the event and the account."""
        return self.event.withholds_qr_from(self.account)

    @property
    def placed_at(self) -> datetime:
        """The time since which the guest has the place, or is on the waiting list."""
        return self.state_since or self.created_at

    def position(self) -> int:
        """Return the position on the waiting list, from 1. One query."""
        ahead = Guest.objects.filter(
            event_id=self.event_id, state=self.State.WAITING, queue_number__lt=self.queue_number
        )
        return ahead.count() + 1


class RevokedQr(models.Model):
    """A QR token that a guest had before. A database trigger (migration 0008) writes it.

    The link in an email that has it still tells its holder how the place stands.
    """

    token = models.CharField(max_length=32, unique=True)
    guest = models.ForeignKey(Guest, on_delete=models.CASCADE)
    revoked_at = models.DateTimeField(db_default=Now())

    class Meta:
        verbose_name = _("revoked QR code")
        verbose_name_plural = _("revoked QR codes")

    def __str__(self) -> str:
        return f"{self.guest_id}"
