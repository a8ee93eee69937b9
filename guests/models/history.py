"""The history of requests and guests, written by database triggers."""

from typing import Any

from django.conf import settings
from django.db import models
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from guests.models.events import Event
from guests.models.guests import Guest
from guests.models.requests import GuestRequest
from snap.text_fields import LineField


class StateChange(models.Model):
    """One change of state of a request or a guest.

    Database triggers (migration 0002) write these rows, so every change is recorded, also one made
    by plain SQL. A trigger refuses to update or delete them.
    """

    at = models.DateTimeField(_("when"), db_default=Now())
    request = models.ForeignKey(
        GuestRequest, on_delete=models.PROTECT, null=True, verbose_name=_("request")
    )
    guest = models.ForeignKey(Guest, on_delete=models.PROTECT, null=True, verbose_name=_("guest"))
    from_state = models.CharField(_("from"), max_length=10, blank=True)
    to_state = models.CharField(_("to"), max_length=10)
    # "account:<id>" of the staff member, or the application_name of the process's connection.
    actor = models.CharField(_("who"), max_length=60)

    class Meta:
        verbose_name = _("state change")
        verbose_name_plural = _("history")
        ordering = ["-id"]

    def __str__(self) -> str:
        return f"{self.from_state or '–'} → {self.to_state}"

    def save(self, *args: Any, **kwargs: Any) -> None:
        raise TypeError("The history is written by the database.")


class StaffAction(models.Model):
    """What staff did to a guest by hand, beside the change of state that it caused.

    Services write one row in the same transaction. It names people, so unlike the history of states
    it can be deleted.
    """

    class Kind(models.TextChoices):
        ADDED = "added", _("added by hand")
        REINSTATED = "reinstated", _("put back on the list")
        REMOVED = "removed", _("taken off the list")
        ATTRIBUTED = "attributed", _("promoter changed")
        MOVED_AWAY = "moved_away", _("moved to another event")
        MOVED_HERE = "moved_here", _("moved here from another event")
        CORRECTED = "corrected", _("email corrected")

    guest = models.ForeignKey(Guest, on_delete=models.CASCADE, verbose_name=_("guest"))
    at = models.DateTimeField(_("when"), db_default=Now())
    kind = models.CharField(_("action"), max_length=12, choices=Kind)
    # The reason that staff gave, or what was before and after.
    detail = LineField(_("detail"), max_length=300, blank=True)
    account = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+", verbose_name=_("who")
    )

    class Meta:
        verbose_name = _("staff action")
        verbose_name_plural = _("staff actions")
        ordering = ["-id"]

    def __str__(self) -> str:
        return f"{self.get_kind_display()} {self.detail}".strip()


class EventChange(models.Model):
    """One change of a field of an event, as texts.

    A database trigger (migration 0008) writes these rows, so every change is recorded. They stay
    when the event is deleted.
    """

    at = models.DateTimeField(_("when"), db_default=Now())
    event = models.ForeignKey(
        Event, on_delete=models.DO_NOTHING, db_constraint=False, verbose_name=_("event")
    )
    field = models.CharField(_("field"), max_length=40)
    from_value = models.TextField(_("from"), blank=True)
    to_value = models.TextField(_("to"), blank=True)
    # As in StateChange.
    actor = models.CharField(_("who"), max_length=60)

    class Meta:
        verbose_name = _("change of an event")
        verbose_name_plural = _("changes of events")
        ordering = ["-id"]

    def __str__(self) -> str:
        return f"{self.field}: {self.from_value or '–'} → {self.to_value or '–'}"

    def save(self, *args: Any, **kwargs: Any) -> None:
        raise TypeError("The history is written by the database.")
