"""The forms in which staff write down, change, move and cancel guests."""

from typing import Any
from uuid import uuid4

from django import forms
from django.conf import settings
from django.core.exceptions import ValidationError
from django.db.models.functions import Now
from django.utils.text import capfirst
from django.utils.translation import gettext_lazy as _

from accounts.names import MAX_FULL_NAME_LENGTH, clean_name
from accounts.phones import clean_phone
from guests.models import Event, EventPromoter, Guest, Promoter, Team
from snap.search import Folded
from snap.text_fields import CleanedFormField, EmailFormField

Attribution = tuple[Promoter | None, Team | None]


class AttributionField(forms.ChoiceField):
    """A choice of the promoters of one event, each alone or for a team. Empty: nobody."""

    def __init__(self, **options: Any) -> None:
        super().__init__(label=capfirst(_("promoter")), required=False, **options)
        self.attributions: dict[str, Attribution] = {"": (None, None)}

    def set_event(self, event: Event, present: Attribution = (None, None)) -> None:
        """Offer the event's promoters, and the present one even if they left the event."""
        rows = EventPromoter.objects.filter(event=event).select_related("promoter", "team")
        for row in rows.order_by(Folded("promoter__name"), "pk"):
            self.attributions[attribution_key(row.promoter, row.team)] = (row.promoter, row.team)
        self.attributions.setdefault(attribution_key(*present), present)
        self.choices = [(key, attribution_text(*each)) for key, each in self.attributions.items()]

    def clean(self, value: Any) -> Attribution:
        return self.attributions[super().clean(value)]


def attribution_key(promoter: Promoter | None, team: Team | None) -> str:
    if promoter is None and team is None:
        return ""
    return f"{promoter and promoter.pk}-{team and team.pk}"


def attribution_text(promoter: Promoter | None, team: Team | None) -> str:
    names = [str(part) for part in (promoter, team) if part is not None]
    return " · ".join(names) or "–"


class GuestForm(forms.ModelForm):  # type: ignore[type-arg]
    """What staff change of a guest: the name and note on the list, and the promoter."""

    attribution = AttributionField()

    class Meta:
        model = Guest
        fields = ["name", "note"]

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        guest = self.instance
        # Staff who may only look get no fields.
        if guest.pk and "attribution" in self.fields:
            present = (guest.promoter, guest.team)
            field = self.fields["attribution"]
            assert isinstance(field, AttributionField)
            field.set_event(guest.event, present)
            self.initial["attribution"] = attribution_key(*present)


def events_ahead() -> Any:
    """Return the events that take guests: not over, not cancelled, next one first."""
    ahead = Event.objects.filter(ends_at__gt=Now(), cancelled_at=None)
    return ahead.order_by("starts_at", "pk")


class EventChoice(forms.Form):
    """The first step of adding a guest: the event, whose promoters the second step offers."""

    event = forms.ModelChoiceField(label=_("event"), queryset=Event.objects.none())

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.fields["event"].queryset = events_ahead()  # type: ignore[attr-defined]


class AddGuestForm(forms.Form):
    name = CleanedFormField(label=_("name"), max_length=MAX_FULL_NAME_LENGTH, cleaner=clean_name)
    phone = CleanedFormField(
        label=_("phone"),
        required=False,
        cleaner=clean_phone,
        help_text=_("Without one the guest is known by name only."),
        widget=forms.TextInput(attrs={"type": "tel"}),
    )
    email = EmailFormField(
        label=_("email"),
        max_length=254,
        required=False,
        help_text=_("The QR code goes there. Without one you get a link to hand over."),
    )
    language = forms.ChoiceField(
        label=_("language of the emails"), choices=settings.LANGUAGES, required=False
    )
    attribution = AttributionField()
    note = CleanedFormField(
        label=_("note"), max_length=200, required=False, help_text=_("The guest does not see it.")
    )
    may_wait = forms.BooleanField(
        label=_("Put on the waiting list if every place is taken"), required=False
    )
    # It names this form, so that a second press of the button adds nobody.
    key = forms.UUIDField(widget=forms.HiddenInput)

    def __init__(self, *args: Any, event: Event, **options: Any) -> None:
        super().__init__(*args, **options)
        field = self.fields["attribution"]
        assert isinstance(field, AttributionField)
        field.set_event(event)
        self.fields["language"].initial = settings.LANGUAGE_CODE
        self.fields["key"].initial = uuid4()
        if not event.has_waiting_list:
            del self.fields["may_wait"]


class ReasonForm(forms.Form):
    reason = CleanedFormField(
        label=_("reason"), max_length=200, required=False, help_text=_("For the history only.")
    )


class EmailForm(forms.Form):
    email = EmailFormField(
        label=_("email"), max_length=254, help_text=_("The emails about the places go there.")
    )

    def __init__(self, data: Any, *, guest: Guest) -> None:
        super().__init__(data, initial={"email": guest.account.email})


class ReinstateForm(forms.Form):
    may_wait = forms.BooleanField(
        label=_("Put on the waiting list if every place is taken"), required=False
    )


class MoveForm(ReasonForm):
    event = forms.ModelChoiceField(label=_("to the event"), queryset=Event.objects.none())
    may_wait = forms.BooleanField(
        label=_("Put on the waiting list if every place is taken"), required=False
    )
    field_order = ["event", "may_wait", "reason"]

    def __init__(self, *args: Any, guest: Guest, **options: Any) -> None:
        super().__init__(*args, **options)
        others = events_ahead().exclude(pk=guest.event_id)
        self.fields["event"].queryset = others  # type: ignore[attr-defined]


def refuse_form(form: forms.Form, text: str, field: str = "") -> None:
    """Show the refusal of a service in the form that caused it."""
    where = field if field in form.fields else None
    form.add_error(where, ValidationError(text))
