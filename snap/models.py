"""What all processes of all hosts share about the load: modes, their history, and readings."""

from django.conf import settings
from django.db import models
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from snap.control.modes import EMERGENCY, QUEUE


class ModeName(models.TextChoices):
    EMERGENCY = EMERGENCY, _("emergency mode")
    QUEUE = QUEUE, _("queue mode")


class Mode(models.Model):
    """A mode: what the load monitor has decided, and what staff have set instead."""

    name = models.CharField(_("mode"), max_length=20, primary_key=True, choices=ModeName.choices)
    is_on = models.BooleanField(_("on"), default=False, db_default=False)
    changed_at = models.DateTimeField(_("changed"), db_default=Now())
    # Until `override_until`, this wins over `is_on`.
    override = models.BooleanField(_("set by hand"), null=True, blank=True)
    override_until = models.DateTimeField(_("set until"), null=True, blank=True)
    override_reason = models.CharField(_("reason"), max_length=200, blank=True, db_default="")
    override_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True, related_name="+"
    )

    class Meta:
        verbose_name = _("mode")
        verbose_name_plural = _("modes")

    def __str__(self) -> str:
        return self.get_name_display()


class ModeChange(models.Model):
    """A change of a mode: who or what changed it, when, from, to and why."""

    class Source(models.TextChoices):
        MONITOR = "monitor", _("load monitor")
        STAFF = "staff", _("staff")
        EXPIRY = "expiry", _("end of what staff had set")

    mode = models.CharField(_("mode"), max_length=20, choices=ModeName.choices)
    was_on = models.BooleanField(_("before"))
    is_on = models.BooleanField(_("after"))
    source = models.CharField(_("by"), max_length=10, choices=Source.choices)
    reason = models.CharField(_("reason"), max_length=200, blank=True)
    changed_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True, related_name="+"
    )
    changed_at = models.DateTimeField(_("when"), db_default=Now())

    class Meta:
        verbose_name = _("change of a mode")
        verbose_name_plural = _("changes of modes")
        ordering = ["-changed_at", "-pk"]
        indexes = [models.Index(fields=["-changed_at"], name="snap_modechange_latest")]

    def __str__(self) -> str:
        return f"{self.get_mode_display()}: {self.is_on}"


class HostReading(models.Model):
    """What the sweeper of one host has measured in the last seconds about its processes."""

    host = models.CharField(_("host"), max_length=100, primary_key=True)
    read_at = models.DateTimeField(_("read"), db_default=Now())
    # The fields of `snap.observability.readings.Reading`.
    values = models.JSONField(_("values"), default=dict)

    class Meta:
        verbose_name = _("reading")
        verbose_name_plural = _("readings")

    def __str__(self) -> str:
        return self.host
