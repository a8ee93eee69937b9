"""Modes in admin: what is on and why, a form that sets one by hand, and the history."""

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.formats import number_format
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.text import capfirst
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _

from snap.admin import LongListAdmin, ReadOnlyAdmin
from snap.admin_output import EMPTY, link_to, render_lines, render_time
from snap.control.modes import EMERGENCY, QUEUE
from snap.models import LoadMonitor, Mode, ModeChange
from snap.monitor.changes import MAX_REASON, leave_to_monitor, set_mode
from snap.monitor.rules import Figures
from snap.text_fields import CleanedFormField

# Changes that the page of a mode shows. The list of changes has all of them.
SHOWN_CHANGES = 10
# Minutes for which staff can set a mode.
MINUTES = [15, 30, 60, 120, 240, 480, 720, 1440]

MEANINGS = {
    EMERGENCY: _(
        "Emails wait, except codes. Guests get their place directly, without workers. Exports ask"
        " first, pages of staff refresh less often, upkeep waits, and newcomers wait in line."
    ),
    QUEUE: _(
        "Workers end more requests at once, with fewer connections. Guests are told longer times,"
        " and newcomers wait in line."
    ),
}


class Setting:
    """What staff choose for a mode."""

    AUTOMATIC = "automatic"
    ON = "on"
    OFF = "off"
    CHOICES = [
        (AUTOMATIC, _("as the load monitor decides")),
        (ON, _("on")),
        (OFF, _("off")),
    ]


def duration_choices() -> list[tuple[int, str]]:
    choices = []
    for minutes in MINUTES:
        hours = minutes // 60
        if hours:
            text = ngettext("%(n)d hour", "%(n)d hours", hours) % {"n": hours}
        else:
            text = ngettext("%(n)d minute", "%(n)d minutes", minutes) % {"n": minutes}
        choices.append((minutes, text))
    return choices


class ModeForm(forms.ModelForm):  # type: ignore[type-arg]  # not subscriptable at run time
    """Sets a mode for a time, with a reason."""

    setting = forms.ChoiceField(
        label=_("This mode is"), choices=Setting.CHOICES, widget=forms.RadioSelect
    )
    minutes = forms.TypedChoiceField(
        label=_("For how long"),
        choices=duration_choices,
        coerce=int,
        initial=60,
        help_text=_("After that the load monitor decides again."),
    )
    reason = CleanedFormField(
        label=_("Reason"),
        max_length=MAX_REASON,
        widget=forms.TextInput(attrs={"class": "vTextField"}),
        help_text=_("For the team, in the history."),
    )

    class Meta:
        model = Mode
        fields: list[str] = []

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.fields["setting"].initial = setting_of(self.instance)


def setting_of(mode: Mode) -> str:
    """Return what staff have chosen for a mode, as it holds now."""
    if not mode.is_set_by_hand:
        return Setting.AUTOMATIC
    return Setting.ON if mode.override else Setting.OFF


@admin.register(Mode)
class ModeAdmin(ReadOnlyAdmin):
    form = ModeForm
    list_display = ["mode", "state", "decided_by", "until", "since", "why", "meaning"]
    list_display_links = ["mode"]
    ordering = ["pk"]
    fields = [
        "meaning",
        "state",
        "decided_by",
        "until",
        "why",
        "load",
        "setting",
        "minutes",
        "reason",
        "changes",
    ]
    readonly_fields = [
        "meaning",
        "state",
        "decided_by",
        "until",
        "why",
        "load",
        "changes",
    ]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Mode]:
        return Mode.objects.with_last_change()

    def get_fields(self, request: HttpRequest, obj: Mode | None = None) -> Any:
        if self.has_change_permission(request, obj):
            return self.fields
        return self.readonly_fields

    # Fields -----------------------------------------------------------------------------------

    @admin.display(description=_("mode"), ordering="name")
    def mode(self, row: Mode) -> str:
        return capfirst(row.get_name_display())

    @admin.display(description=_("state"))
    def state(self, row: Mode) -> SafeString | str:
        """Return the state in words: a mode that is off is no failure."""
        if row.is_active:
            return format_html("<strong>{}</strong>", gettext("on"))
        return gettext("off")

    @admin.display(description=_("decision of"))
    def decided_by(self, row: Mode) -> str:
        if not row.is_set_by_hand:
            return gettext("load monitor")
        return str(row.override_by or gettext("staff"))

    @admin.display(description=_("until"))
    def until(self, row: Mode) -> str:
        if row.is_set_by_hand and row.override_until:
            return render_time(row.override_until)
        return EMPTY

    @admin.display(description=_("since"))
    def since(self, row: Mode) -> str:
        if row.last_changed_at is None:
            return EMPTY
        return render_time(row.last_changed_at)

    @admin.display(description=_("reason"))
    def why(self, row: Mode) -> str:
        return row.why or EMPTY

    @admin.display(description=_("what it changes"))
    def meaning(self, row: Mode) -> str:
        return str(MEANINGS.get(row.name, EMPTY))

    @admin.display(description=_("load"))
    def load(self, row: Mode) -> SafeString | str:
        """Return what the load monitor measured last."""
        monitor = LoadMonitor.objects.filter(pk=LoadMonitor.ROW).first()
        if monitor is None or not monitor.decided_by:
            return EMPTY
        figures = Figures.from_json(monitor.figures)
        lines = [
            (_("measured"), render_time(monitor.decided_at)),
            (_("requests in half a minute"), number_format(figures.requests)),
            (_("19 of 20 responses within"), f"{number_format(figures.response_ms, 0)} ms"),
            (_("requests that failed"), f"{number_format(figures.error_percent, 1)} %"),
            (_("database connections"), number_format(figures.connections)),
            (_("requests that wait"), number_format(figures.queue_depth)),
            (_("largest process"), f"{number_format(figures.memory)} MB"),
        ]
        return render_lines("{}: {}", lines)

    @admin.display(description=_("history"))
    def changes(self, row: Mode) -> SafeString | str:
        latest = ModeChange.objects.filter(mode=row.name).select_related("changed_by")
        lines: list[Any] = [[change_line(change)] for change in latest[:SHOWN_CHANGES]]
        if not lines:
            return EMPTY
        query = f"?mode__exact={row.name}"
        lines.append([link_to("snap_modechange_changelist", gettext("all changes"), query=query)])
        return render_lines("{}", lines)

    # Setting ----------------------------------------------------------------------------------

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        """Set the mode by the service, which writes the history. The form changes no field."""
        chosen = form.cleaned_data
        reason = chosen["reason"]
        if chosen["setting"] == Setting.AUTOMATIC:
            leave_to_monitor(obj.name, reason=reason, by=request.user)
            return
        set_mode(
            obj.name,
            is_on=chosen["setting"] == Setting.ON,
            minutes=chosen["minutes"],
            reason=reason,
            by=request.user,
        )

    def construct_change_message(
        self, request: HttpRequest, form: Any, formsets: Any, add: bool = False
    ) -> Any:
        chosen = form.cleaned_data
        return f"{dict(Setting.CHOICES)[chosen['setting']]}: {chosen['reason']}"

    def response_change(self, request: HttpRequest, obj: Any) -> Any:
        row = self.get_queryset(request).get(pk=obj.pk)
        self.message_user(request, state_text(row), messages.INFO)
        return super().response_change(request, obj)


def state_text(row: Mode) -> str:
    """Return how a mode stands, as a sentence."""
    about = {"mode": capfirst(row.get_name_display()), "until": EMPTY}
    if not row.is_set_by_hand or row.override_until is None:
        return gettext("%(mode)s: the load monitor decides.") % about
    about["until"] = render_time(row.override_until)
    if row.override:
        return (
            gettext("%(mode)s is on until %(until)s: all processes follow within a second.") % about
        )
    return gettext("%(mode)s is off until %(until)s: all processes follow within a second.") % about


def state_word(is_on: bool) -> str:
    if is_on:
        return gettext("on")
    return gettext("off")


def change_line(change: ModeChange) -> str:
    """Return a line of the history: when, what, by whom and why."""
    who = change.changed_by or change.get_source_display()
    parts = [render_time(change.changed_at), state_word(change.is_on), str(who), change.why]
    return " · ".join(part for part in parts if part)


@admin.register(ModeChange)
class ModeChangeAdmin(LongListAdmin, ReadOnlyAdmin):
    list_display = ["when", "mode", "state", "reason_text", "who"]
    list_display_links = None
    list_filter = ["mode", "source"]
    list_select_related = ["changed_by"]
    ordering = ["-pk"]

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    @admin.display(description=_("when"), ordering="pk")
    def when(self, row: ModeChange) -> str:
        return render_time(row.changed_at)

    @admin.display(description=_("state"), ordering="is_on")
    def state(self, row: ModeChange) -> str:
        return state_word(row.is_on)

    @admin.display(description=_("decision of"), ordering="source")
    def who(self, row: ModeChange) -> str:
        return str(row.changed_by or row.get_source_display())

    @admin.display(description=_("reason"))
    def reason_text(self, row: ModeChange) -> str:
        return row.why or EMPTY
