"""Guests: places on lists and on waiting lists."""

from datetime import datetime, timedelta
from math import ceil
from typing import Any, Self

from django.conf import settings
from django.db import models
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from guests.models.events import Event
from guests.models.promoters import Promoter, Team


class GuestQuerySet(models.QuerySet["Guest"]):
    def on_lists_of(self, account: Any) -> Self:
        """Keep the places that an account has on lists, without waiting lists."""
        return self.filter(account=account, state=Guest.State.ON_LIST)

    def upcoming(self) -> Self:
        """Keep places on lists and on waiting lists of events that are not over."""
        return self.filter(event__ends_at__gt=Now()).exclude(state=Guest.State.CANCELLED)

    def leaving(self) -> Self:
        """Keep the places that their holders have given back, and that are not free yet."""
        return self.filter(leaves_at__isnull=False).exclude(state=Guest.State.CANCELLED)

    def due_to_leave(self) -> Self:
        """Keep the places whose holders can no longer undo giving them back."""
        return self.leaving().filter(leaves_at__lte=Now(), checked_in_at=None)


class Guest(models.Model):
    """A place on one event's list, or on its waiting list."""

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
    # The id of the latest request for this place. The waiting list is in the order of these ids.
    queue_number = models.BigIntegerField(_("queue number"))
    # How many times this guest has been given a place. Each time one QR email is sent.
    listings = models.PositiveSmallIntegerField(default=0, editable=False)
    qr_token = models.CharField(max_length=32, null=True, unique=True, editable=False)
    checked_in_at = models.DateTimeField(_("checked in at"), null=True, blank=True)
    # When the place that its holder has given back becomes free. It stays after that, as the reason
    # for the cancellation. A trigger (migration 0009) clears it when the guest is checked in or
    # gets a place again.
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

    @property
    def is_given_back(self) -> bool:
        """Whether the holder has given the place back for good."""
        return self.leaves_at is not None and self.state == self.State.CANCELLED

    def seconds_to_undo(self, now: datetime) -> int:
        """Return the seconds in which the holder can undo giving the place back, rounded up."""
        if self.leaves_at is None:
            return 0
        return max(0, ceil((self.leaves_at - now).total_seconds()))

    def give_back(self) -> bool:
        """Have the place become free in GIVE_BACK_SECONDS. Return whether it was given back now.

        A place that was checked in, cancelled or given back before stays as it is. One statement.
        """
        held = Guest.objects.filter(pk=self.pk, checked_in_at=None, leaves_at=None)
        held = held.exclude(state=self.State.CANCELLED)
        wait = timedelta(seconds=settings.GIVE_BACK_SECONDS)
        return bool(held.update(leaves_at=Now() + wait))

    def keep(self) -> bool:
        """Undo giving the place back. Return False if it is free already. One statement."""
        return bool(Guest.objects.leaving().filter(pk=self.pk).update(leaves_at=None))

    @property
    def is_withheld(self) -> bool:
        """Return whether the QR code waits for a proof. Reads the event and the account."""
        return self.event.withholds_qr_from(self.account)

    def has_waited(self) -> bool:
        """Return whether the guest got this place from the waiting list. One query."""
        return self.statechange_set.filter(
            from_state=self.State.WAITING, to_state=self.State.ON_LIST
        ).exists()

    def position(self) -> int:
        """Return the position on the waiting list, from 1. One query."""
        ahead = Guest.objects.filter(
            event_id=self.event_id, state=self.State.WAITING, queue_number__lt=self.queue_number
        )
        return ahead.count() + 1
