"""What all processes of all hosts share: modes, their history, readings of load, and switches."""

from datetime import datetime, timedelta
from typing import Any, Self

from django.conf import settings
from django.db import models
from django.db.models import F, OuterRef, Q, Subquery
from django.db.models.functions import Extract, Now
from django.utils.formats import number_format
from django.utils.text import capfirst
from django.utils.translation import gettext_lazy as _
from waffle.models import Switch as WaffleSwitch

from snap.control.modes import EMERGENCY, QUEUE
from snap.control.switches import find_switch

# What staff read of a switch that this release does not know.
OTHER_RELEASE = _("Only another release of SNAP knows this switch. It has no effect here.")


class ModeName(models.TextChoices):
    EMERGENCY = EMERGENCY, _("emergency mode")
    QUEUE = QUEUE, _("queue mode")


class ModeQuerySet(models.QuerySet["Mode"]):
    def with_database_time(self) -> Self:
        return self.annotate(database_now=Now())

    def locked(self) -> Self:
        """Lock the rows until the end of the transaction, and load the database's time."""
        return self.select_for_update(of=("self",)).with_database_time()

    def with_last_change(self) -> Self:
        """Load who set a mode by hand, when and why it changed last, and the database's time."""
        last = ModeChange.objects.filter(mode=OuterRef("pk")).order_by("-pk")
        annotated = self.with_database_time().annotate(
            last_source=Subquery(last.values("source")[:1]),
            last_reason=Subquery(last.values("reason")[:1]),
            last_changed_at=Subquery(last.values("changed_at")[:1]),
        )
        return annotated.select_related("override_by").order_by("pk")


class Mode(models.Model):
    """A mode: what the load monitor has decided, and what staff have set instead."""

    name = models.CharField(_("mode"), max_length=20, primary_key=True, choices=ModeName.choices)
    is_on = models.BooleanField(_("on"), default=False, db_default=False)
    # When the load monitor changed `is_on` last, and since when the load lets it end the mode.
    changed_at = models.DateTimeField(_("changed"), db_default=Now())
    well_since = models.DateTimeField(null=True, blank=True, editable=False)
    # Until `override_until`, this wins over `is_on`.
    override = models.BooleanField(_("set by hand"), null=True, blank=True)
    override_until = models.DateTimeField(_("set until"), null=True, blank=True)
    override_reason = models.CharField(_("reason"), max_length=200, blank=True, db_default="")
    override_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True, related_name="+"
    )

    # Set by `with_database_time`.
    database_now: datetime
    # Set by `with_last_change`.
    last_source: str | None
    last_reason: str | None
    last_changed_at: datetime | None

    objects = ModeQuerySet.as_manager()

    class Meta:
        verbose_name = _("mode")
        verbose_name_plural = _("modes")
        constraints = [
            models.CheckConstraint(
                condition=Q(override=None)
                | Q(override_until__isnull=False) & ~Q(override_reason=""),
                name="snap_override_has_end_and_reason",
            )
        ]

    def __str__(self) -> str:
        return self.get_name_display()

    @property
    def is_set_by_hand(self) -> bool:
        """Whether staff have set the mode and that still holds."""
        until = self.override_until
        return self.override is not None and until is not None and until > self.database_now

    @property
    def is_active(self) -> bool:
        """Whether the mode is on: by staff, else by the load monitor."""
        if self.is_set_by_hand:
            return bool(self.override)
        return self.is_on

    @property
    def why(self) -> str:
        """Why the mode is as it is, in words; "" if it has never changed."""
        if self.is_set_by_hand:
            return self.override_reason
        if self.last_source == ModeChange.Source.STAFF:
            return self.last_reason or ""
        return words_of(self.last_reason or "")

    def save_override(self) -> None:
        fields = ["override", "override_until", "override_reason", "override_by"]
        self.save(update_fields=fields)

    def clear_override(self) -> None:
        """Leave the mode to the load monitor."""
        self.override = self.override_until = self.override_by = None
        self.override_reason = ""
        self.save_override()


class ModeChange(models.Model):
    """A change of a mode: who or what changed it, when, from, to and why."""

    class Source(models.TextChoices):
        MONITOR = "monitor", _("load monitor")
        STAFF = "staff", _("staff")
        EXPIRY = "expiry", _("end of what staff had set")

    mode = models.CharField(_("mode"), max_length=20, choices=ModeName.choices)
    was_on = models.BooleanField(_("before"))
    is_on = models.BooleanField(_("after"))
    source = models.CharField(_("origin"), max_length=10, choices=Source.choices)
    reason = models.CharField(_("reason"), max_length=200, blank=True)
    changed_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True, related_name="+"
    )
    changed_at = models.DateTimeField(_("when"), db_default=Now())
    # Whether `load_mode_changes_total` has counted it.
    is_counted = models.BooleanField(db_default=False, editable=False)

    class Meta:
        verbose_name = _("change of a mode")
        verbose_name_plural = _("changes of modes")
        ordering = ["-changed_at", "-pk"]
        indexes = [models.Index(fields=["-changed_at"], name="snap_modechange_latest")]

    def __str__(self) -> str:
        state = _("on") if self.is_on else _("off")
        return f"{self.get_mode_display()}: {state}"

    @property
    def why(self) -> str:
        """The reason in words: the load monitor stores a figure."""
        if self.source == self.Source.STAFF:
            return self.reason
        return words_of(self.reason)


# What the figures say for which the load monitor begins and ends modes.
FIGURES = {
    "requests": _("%(n)s requests in half a minute"),
    "response_ms": _("responses take up to %(n)s ms"),
    "error_percent": _("%(n)s %% of requests fail"),
    "connections": _("%(n)s database connections"),
}


def words_of(reason: str) -> str:
    """Return a reason in words: `response_ms 3400.0` is a figure of the load monitor."""
    figure, _space, value = reason.partition(" ")
    text = FIGURES.get(figure)
    if text is None:
        return reason
    try:
        number = float(value)
    except ValueError:
        return reason
    decimals = 1 if figure == "error_percent" else 0
    return str(text) % {"n": number_format(number, decimals)}


class LoadMonitor(models.Model):
    """The one row of the load monitor: what it measured last, when, and which process decided."""

    decided_at = models.DateTimeField(_("decided"), db_default=Now())
    # The host and the process id.
    decided_by = models.CharField(_("decision of"), max_length=120, blank=True, db_default="")
    # The fields of `snap.monitor.rules.Figures`.
    figures = models.JSONField(_("figures"), default=dict, db_default={})

    # The id of the only row.
    ROW = 1

    class Meta:
        verbose_name = _("load monitor")
        verbose_name_plural = _("load monitor")

    def __str__(self) -> str:
        return self.decided_by


class HostReadingQuerySet(models.QuerySet["HostReading"]):
    def store(self, host: str, values: dict[str, Any]) -> None:
        """Store what a host has measured, with the database's time. One statement."""
        row = HostReading(host=host, read_at=Now(), values=values)
        self.bulk_create(
            [row],
            update_conflicts=True,
            unique_fields=["host"],
            update_fields=["read_at", "values"],
        )

    def recent(self, seconds: float) -> Self:
        """Return the readings that are not older, with their `age` in seconds."""
        age = Extract(Now() - F("read_at"), "epoch", output_field=models.FloatField())
        recent = self.filter(read_at__gt=Now() - timedelta(seconds=seconds))
        return recent.annotate(age=age).order_by("host")

    def forget(self, seconds: float) -> None:
        """Delete the readings of hosts that have stored nothing for so many seconds."""
        self.filter(read_at__lte=Now() - timedelta(seconds=seconds)).delete()


class HostReading(models.Model):
    """What the sweeper of one host has measured in the last seconds about its processes."""

    host = models.CharField(_("host"), max_length=100, primary_key=True)
    read_at = models.DateTimeField(_("read"), db_default=Now())
    # The fields of `snap.observability.readings.Reading`, and `samples`: those of
    # `snap.monitor.samples.Sample` for the last five minutes, the newest last.
    values = models.JSONField(_("values"), default=dict)

    # Set by `recent`.
    age: float

    objects = HostReadingQuerySet.as_manager()

    class Meta:
        verbose_name = _("reading")
        verbose_name_plural = _("readings")

    def __str__(self) -> str:
        return self.host


class Switch(WaffleSwitch):
    """A row of django-waffle, with the words that staff read."""

    class Meta:
        proxy = True
        verbose_name = _("switch")
        verbose_name_plural = _("switches")

    def __str__(self) -> str:
        known = find_switch(self.name)
        if known is None:
            return str(self.name)
        return capfirst(str(known.label))

    @property
    def meaning(self) -> str:
        """What happens while it is off."""
        known = find_switch(self.name)
        if known is None:
            return str(OTHER_RELEASE)
        return str(known.meaning)
