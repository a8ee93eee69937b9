"""The forms of messages to lists."""

from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _

from guests.models import Event, ListMessage, Promoter, Team
from snap.search import Folded

# From so many guests on, staff type their number before the message goes out.
ASKS_FROM = 100
LANGUAGES = ["pt", "en"]
MISSING = {
    "subject": _("Write a subject as well."),
    "text": _("Write a text as well."),
}


class EventChoice(forms.Form):
    """The first step: the event. Messages can go to the lists of past and cancelled events too."""

    event = forms.ModelChoiceField(
        label=_("event"), queryset=Event.objects.order_by("-starts_at", "pk")
    )


class ListMessageForm(forms.ModelForm):  # type: ignore[type-arg]
    class Meta:
        model = ListMessage
        fields = [
            "place",
            "arrival",
            "origin",
            "promoter",
            "team",
            "subject_pt",
            "text_pt",
            "subject_en",
            "text_en",
        ]
        labels = {"place": _("who has a place"), "origin": _("how they got the place")}
        help_texts = {
            "text_pt": _("An empty line begins a new paragraph. Addresses become links."),
            "text_en": _("Without one of the languages everybody gets the other."),
        }
        widgets = {
            "text_pt": forms.Textarea(attrs={"rows": 8}),
            "text_en": forms.Textarea(attrs={"rows": 8}),
        }

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        event = self.instance.event
        at_event = {"eventpromoter__event": event}
        present = {"pk": self.instance.promoter_id}
        promoters = Promoter.objects.filter(**at_event) | Promoter.objects.filter(**present)
        present = {"pk": self.instance.team_id}
        teams = Team.objects.filter(**at_event) | Team.objects.filter(**present)
        for name, rows in (("promoter", promoters), ("team", teams)):
            field = self.fields[name]
            assert isinstance(field, forms.ModelChoiceField)
            field.queryset = rows.distinct().order_by(Folded("name"), "pk")
            field.empty_label = _("any")

    def clean(self) -> dict[str, Any]:
        """Require both fields of a language, and at least one language."""
        data = super().clean() or self.cleaned_data
        written = False
        for language in LANGUAGES:
            parts = {name: data.get(f"{name}_{language}") for name in MISSING}
            written = written or any(parts.values())
            for name, text in parts.items():
                field = f"{name}_{language}"
                if not text and any(parts.values()) and field not in self.errors:
                    self.add_error(field, MISSING[name])
        if not written and not self.errors:
            raise ValidationError(_("Write the message in one language at least."))
        return data


class ConfirmForm(forms.Form):
    """Confirms the number of guests that staff have seen. Many guests have to be typed."""

    seen = forms.IntegerField(min_value=0, widget=forms.HiddenInput)
    number = forms.IntegerField(
        label=_("Type the number of guests"),
        required=False,
        min_value=0,
        widget=forms.TextInput(attrs={"inputmode": "numeric", "autocomplete": "off"}),
    )

    def __init__(self, data: Any = None, *, seen: int | None = None) -> None:
        super().__init__(data, initial={"seen": seen})
        if self.shown_number() < ASKS_FROM:
            del self.fields["number"]

    def shown_number(self) -> int:
        """Return the number that staff have seen, 0 for none."""
        value = str(self["seen"].value() or "")
        if value.isascii() and value.isdecimal():
            return int(value)
        return 0

    def clean(self) -> dict[str, Any]:
        data = super().clean() or self.cleaned_data
        is_typed = "number" in self.fields and "number" not in self.errors
        if is_typed and data.get("number") != data.get("seen"):
            self.add_error("number", _("This is not the number of guests."))
        return data
