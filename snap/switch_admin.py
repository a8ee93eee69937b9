"""The admin page of the switches. Each has a row already: staff only turn it off and on."""

import logging
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.models import LogEntry
from django.contrib.admin.options import get_content_type_for_model
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _

from snap.admin import ReadOnlyAdmin, log_changes
from snap.admin_output import EMPTY, render_lines, render_time, words_filter
from snap.models import Switch
from snap.text_fields import CleanedFormField

log = logging.getLogger(__name__)

# Lines of the history on the page of a switch. The page "History" has all of them.
SHOWN_CHANGES = 10
MAX_NOTE = 200


class SwitchForm(forms.ModelForm):  # type: ignore[type-arg]  # not subscriptable at run time
    active = forms.BooleanField(label=_("On"), required=False)
    note = CleanedFormField(
        label=_("Reason"),
        required=False,
        max_length=MAX_NOTE,
        help_text=_("For the team: why it is off, and until when."),
        widget=forms.TextInput(attrs={"class": "vTextField"}),
    )


@admin.register(Switch)
class SwitchAdmin(ReadOnlyAdmin):
    form = SwitchForm
    list_display = ["label", "is_active", "meaning", "note_text", "modified_at"]
    list_display_links = ["label"]
    list_filter = [words_filter("active", _("state"), lambda: {True: _("on"), False: _("off")})]
    search_fields = ["name__icontains", "note__icontains"]
    ordering = ["active", "name"]
    actions = ["turn_on", "turn_off"]
    fields = ["label", "meaning", "active", "note", "modified_at", "changes"]
    readonly_fields = ["label", "meaning", "modified_at", "changes"]

    # Fields -----------------------------------------------------------------------------------

    @admin.display(description=_("switch"), ordering="name")
    def label(self, row: Switch) -> str:
        return str(row)

    @admin.display(description=_("on"), boolean=True, ordering="active")
    def is_active(self, row: Switch) -> bool:
        return row.active

    @admin.display(description=_("while it is off"))
    def meaning(self, row: Switch) -> str:
        return row.meaning

    @admin.display(description=_("reason"), ordering="note")
    def note_text(self, row: Switch) -> str:
        return row.note or EMPTY

    @admin.display(description=_("changed"), ordering="modified")
    def modified_at(self, row: Switch) -> str:
        return render_time(row.modified)

    @admin.display(description=_("history"))
    def changes(self, row: Switch) -> SafeString | str:
        """Return the last changes, the newest first: when, by whom and what."""
        kind = get_content_type_for_model(row)
        entries = LogEntry.objects.filter(content_type=kind, object_id=row.pk)
        lines = []
        for entry in entries.select_related("user").order_by("-pk")[:SHOWN_CHANGES]:
            lines.append((render_time(entry.action_time), entry.user, entry.get_change_message()))
        return render_lines("{} · {} · {}", lines) or EMPTY

    # Changing ---------------------------------------------------------------------------------

    def construct_change_message(
        self, request: HttpRequest, form: Any, formsets: Any, add: bool = False
    ) -> Any:
        """Return what the history says: what was turned off or on, and the reason."""
        row = form.instance
        if "active" not in form.changed_data:
            return gettext("Reason: %(reason)s") % {"reason": row.note or EMPTY}
        return f"{change_text(row.active)} {row.note}".strip()

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        obj.save()
        if "active" in form.changed_data:
            self._report(request, [obj])

    @admin.action(description=_("Turn on"), permissions=["change"])
    def turn_on(self, request: HttpRequest, queryset: QuerySet[Switch]) -> None:
        self._turn(request, queryset, is_on=True)

    @admin.action(description=_("Turn off"), permissions=["change"])
    def turn_off(self, request: HttpRequest, queryset: QuerySet[Switch]) -> None:
        self._turn(request, queryset, is_on=False)

    def _turn(self, request: HttpRequest, queryset: QuerySet[Switch], *, is_on: bool) -> None:
        changed = list(queryset.exclude(active=is_on).order_by("name"))
        for row in changed:
            row.active = is_on
            row.save()
        rows = queryset.filter(pk__in=[row.pk for row in changed])
        log_changes(request.user, rows, change_text(is_on))
        self._report(request, changed)
        if is_on:
            text = ngettext("%(n)d switch is on.", "%(n)d switches are on.", len(changed))
        else:
            text = ngettext("%(n)d switch is off.", "%(n)d switches are off.", len(changed))
        level = messages.SUCCESS if changed else messages.WARNING
        self.message_user(request, text % {"n": len(changed)}, level)

    def _report(self, request: HttpRequest, rows: list[Switch]) -> None:
        """Write changes to the log, and tell staff what follows from each."""
        for row in rows:
            log.warning(
                "switch_turned_on" if row.active else "switch_turned_off",
                extra={"switch": row.name, "account_id": request.user.pk},
            )
            if not row.active:
                text = format_html("<strong>{}</strong>: {}", row, row.meaning)
                self.message_user(request, text, messages.WARNING)


def change_text(is_on: bool) -> str:
    if is_on:
        return gettext("Turned on.")
    return gettext("Turned off.")
