"""Times in the form of an event, as clocks show them in the event's own time zone."""

from datetime import UTC, date, datetime, time
from typing import Any
from zoneinfo import ZoneInfo, available_timezones

from django import forms
from django.contrib import admin
from django.contrib.admin.widgets import AdminDateWidget
from django.core.exceptions import ValidationError
from django.utils.formats import date_format
from django.utils.text import capfirst
from django.utils.translation import gettext_lazy as _

from guests.local_times import is_ambiguous, is_missing
from guests.models import Event
from guests.templatetags.event_time import plain_event_time
from snap.admin_output import EMPTY

# Which of two times an ambiguous one is.
FIRST, SECOND = "first", "second"
# What stays when the zone of an event changes.
CLOCK, MOMENT = "clock", "moment"

TIMES = (
    "starts_at",
    "ends_at",
    "list_opens_at",
    "list_closes_at",
    "waiting_list_ends_at",
)


def which_of(local: datetime) -> str:
    """Return which of two times a local time is, "" for one that comes once."""
    if not is_ambiguous(local):
        return ""
    return SECOND if local.fold else FIRST


def read_local_time(wall: datetime, zone: ZoneInfo, which: str) -> datetime:
    """Return the moment at which clocks in a zone show a time.

    `which` says which one if it comes twice. Raises ValidationError for a time that is missing
    (`missing`), or comes twice without `which` (`ambiguous`).
    """
    local = wall.replace(tzinfo=zone)
    shown = {"time": f"{wall:%H:%M}", "day": date_format(wall, "SHORT_DATE_FORMAT"), "zone": zone}
    if is_missing(local):
        text = _("There is no %(time)s on %(day)s in %(zone)s: the clocks go forward over it.")
        raise ValidationError(text, code="missing", params=shown)
    if is_ambiguous(local):
        if which not in {FIRST, SECOND}:
            text = _("%(time)s comes twice on %(day)s in %(zone)s, as the clocks go back. Choose.")
            raise ValidationError(text, code="ambiguous", params=shown)
        local = local.replace(fold=int(which == SECOND))
    return local.astimezone(UTC)


class ZonedTimeWidget(forms.MultiWidget):
    """A day, a time, and for a time that comes twice a choice between the two."""

    class Media:
        css = {"all": ["css/admin_times.css"]}

    template_name = "admin/guests/event/zoned_time.html"
    zone: ZoneInfo = ZoneInfo("UTC")
    asks_which = False

    def __init__(self) -> None:
        choices = [
            ("", "–"),
            (FIRST, _("before the clocks go back")),
            (SECOND, _("after the clocks went back")),
        ]
        widgets = [
            AdminDateWidget(),
            forms.TimeInput(format="%H:%M", attrs={"size": "8", "autocomplete": "off"}),
            forms.Select(choices=choices),
        ]
        super().__init__(widgets)

    def decompress(self, value: datetime | None) -> list[Any]:
        if value is None:
            return [None, None, ""]
        local = value.astimezone(self.zone)
        return [local.date(), local.time().replace(microsecond=0), which_of(local)]

    def get_context(self, name: str, value: Any, attrs: Any) -> dict[str, Any]:
        context: dict[str, Any] = super().get_context(name, value, attrs)
        values = value if isinstance(value, list) else self.decompress(value)
        context["asks_which"] = self.asks_which or bool(values[2])
        return context


class ZonedTimeField(forms.Field):
    """A time of an event. The form calls `prepare` before it is cleaned or shown.

    A time that was not changed in the form is the stored one, whatever its seconds and however
    often clocks show it.
    """

    widget = ZonedTimeWidget

    def prepare(
        self, stored: datetime | None, *, shown_zone: ZoneInfo, zone: ZoneInfo, keeps_moment: bool
    ) -> None:
        """Set the stored time, the zone in which it is shown, and the one in which it is read.

        With `keeps_moment` an unchanged time stays the stored one in another zone.
        """
        self.stored = stored
        self.shown_zone = shown_zone
        self.zone = zone
        self.keeps_moment = keeps_moment
        self.widget.zone = shown_zone

    def is_as_shown(self, value: Any) -> bool:
        """Return whether the sent values are those that the form showed for the stored time."""
        typed = self._read(value)
        if self.stored is None or typed is None:
            return typed is None and self.stored is None
        wall, which = typed
        local = self.stored.astimezone(self.shown_zone)
        shown = local.replace(tzinfo=None, fold=0, microsecond=0)
        is_same_time: bool = wall in {shown, shown.replace(second=0)}
        return is_same_time and which in {"", which_of(local)}

    def clean(self, value: Any) -> datetime | None:
        typed = self._read(value)
        if typed is None:
            if self.required:
                raise ValidationError(self.error_messages["required"], code="required")
            return None
        is_same_zone = self.zone.key == self.shown_zone.key
        if self.is_as_shown(value) and (is_same_zone or self.keeps_moment):
            return self.stored
        wall, which = typed
        try:
            return read_local_time(wall, self.zone, which)
        except ValidationError as error:
            self.widget.asks_which = error.code == "ambiguous"
            raise

    def has_changed(self, initial: Any, data: Any) -> bool:
        try:
            return bool(self.clean(data) != initial)
        except ValidationError:
            return True

    def _read(self, value: Any) -> tuple[datetime, str] | None:
        """Return the typed time and choice, None for an empty field. Raises ValidationError."""
        typed_day, typed_time, which = [*(value or []), None, None, None][:3]
        if not typed_day and not typed_time:
            return None
        day: date | None = forms.DateField(required=False).clean(typed_day)
        at: time | None = forms.TimeField(required=False).clean(typed_time)
        if day is None or at is None:
            raise ValidationError(_("Write the day and the time."), code="incomplete")
        return datetime.combine(day, at), which or ""


class EventTimesForm(forms.ModelForm):  # type: ignore[type-arg]
    """The times of an event, in its own zone.

    When its zone is changed, staff say what stays: what clocks show, or the moments.
    """

    starts_at = ZonedTimeField(label=_("starts at"))
    ends_at = ZonedTimeField(label=_("ends at"))
    list_opens_at = ZonedTimeField(label=_("list opens at"))
    list_closes_at = ZonedTimeField(label=_("list closes at"))
    waiting_list_ends_at = ZonedTimeField(
        label=_("waiting list ends at"),
        required=False,
        help_text=Event._meta.get_field("waiting_list_ends_at").help_text,
    )
    zone_change = forms.ChoiceField(
        label=_("When the zone changes"),
        required=False,
        choices=[
            ("", "–"),
            (CLOCK, _("the clock times stay: 22:00 stays 22:00")),
            (MOMENT, _("the moments stay: clocks show other times")),
        ],
        help_text=_("Only for an event whose zone you change."),
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.shown_zone = self.instance.zone
        zone = self._sent_zone() or self.shown_zone
        for name, field in self._time_fields().items():
            field.label = capfirst(str(field.label))
            field.prepare(
                getattr(self.instance, name),
                shown_zone=self.shown_zone,
                zone=zone,
                keeps_moment=self._sent("zone_change") == MOMENT,
            )

    def _time_fields(self) -> dict[str, ZonedTimeField]:
        fields = {}
        for name, field in self.fields.items():
            if isinstance(field, ZonedTimeField):
                fields[name] = field
        return fields

    def _sent(self, name: str) -> str:
        return str(self.data.get(self.add_prefix(name), ""))

    def _sent_zone(self) -> ZoneInfo | None:
        """Return the zone that was sent, None if there is none of that name."""
        name = self._sent("time_zone")
        return ZoneInfo(name) if name in available_timezones() else None

    def _is_zone_change_unclear(self) -> bool:
        """Return whether the zone of a stored event changes, and some of its times do not."""
        zone = self._sent_zone()
        if not self.instance.pk or zone is None or self._sent("zone_change"):
            return False
        for name, field in self._time_fields().items():
            is_stored = field.stored is not None and field.shown_zone.key != zone.key
            if is_stored and field.is_as_shown(self[name].data):
                return True
        return False

    def clean(self) -> dict[str, Any] | None:
        cleaned = super().clean()
        if not self.errors and self._is_zone_change_unclear():
            text = _("The times were in %(zone)s. Say what stays when the zone changes.")
            self.add_error("zone_change", ValidationError(text, params={"zone": self.shown_zone}))
        return cleaned


def shown_time(name: str) -> Any:
    """Return a column for staff who may not change events: a time in the event's own zone."""

    @admin.display(description=EventTimesForm.base_fields[name].label)
    def column(event: Event) -> str:
        stored: datetime | None = getattr(event, name)
        if stored is None:
            return EMPTY
        local = stored.astimezone(event.zone)
        shown = plain_event_time(local, "SHORT_DATE_FORMAT")
        return f"{shown.day} {shown.time} ({event.time_zone})"

    return column


SHOWN_TIMES = [shown_time(name) for name in TIMES]
