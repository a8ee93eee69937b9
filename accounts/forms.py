"""What people type about themselves, and one sentence for each way in which it can be wrong."""

import re
import unicodedata
from functools import lru_cache
from typing import Any

from django import forms
from django.conf import settings
from django.core.exceptions import ValidationError
from django.forms.utils import flatatt
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import get_language
from django.utils.translation import gettext_lazy as _
from django_countries import countries

from accounts.phones import PhoneError, dial_code, parse_phone

PHONE_MESSAGES = {
    "empty": _("Write your phone number."),
    "too_long": _("This is too long for a phone number."),
    "no_country": _("Choose the country, or begin with + and its code."),
    "invalid": _("This is not a phone number. Check the digits and the country."),
}

MAX_NAME_LENGTH = 60
# Signs that look like a dash and that Unicode takes for something else: minus signs, overlines, the
# long vowel of Japanese keyboards, a bar, a tilde.
DASHES = "\u2212\u00af\u02c9\u02d7\u207b\u208b\u30fc\uff70|~"
# First and last name, with the space between them.
MAX_FULL_NAME_LENGTH = 2 * MAX_NAME_LENGTH + 1
NAME = re.compile(r"^[^\W_]([^\W_]|[ '’ʼ.·\u05be\u2010\u2011-])*$")
ADDRESS_IN_NAME = re.compile(r"[^\W\d_]{2,}\.[^\W\d_]{2,}")


def country_choices() -> list[tuple[str, str]]:
    """Countries with their calling code, the default one first, for the phone form."""
    return _country_choices(get_language() or "")


@lru_cache
def _country_choices(_language: str) -> list[tuple[str, str]]:
    named = [(code, f"{name} +{dial}") for code, name in countries if (dial := dial_code(code))]
    return sorted(named, key=lambda choice: choice[0] != settings.DEFAULT_COUNTRY)


class DrawnInput(forms.TextInput):
    """Draws its one tag itself, for a fifth of what Django's templates take."""

    def render(self, name: str, value: Any, attrs: Any = None, renderer: Any = None) -> SafeString:
        about = {"type": self.input_type, "name": name, "value": self.format_value(value)}
        return format_html("<input{}>", flatatt(about | self.build_attrs(self.attrs, attrs)))


class CountrySelect(forms.Select):
    """A select whose 240 options are drawn once: Django's templates take 10 ms of CPU each time."""

    def render(self, name: str, value: Any, attrs: Any = None, renderer: Any = None) -> SafeString:
        chosen = value if value in dict(country_choices()) else ""
        options = _country_options(get_language() or "", chosen)
        given = flatatt({**self.build_attrs(self.attrs, attrs), "name": name})
        return format_html("<select{}>{}</select>", given, options)


@lru_cache(maxsize=1024)
def _country_options(_language: str, chosen: str) -> SafeString:
    return format_html_join(
        "",
        '<option value="{}"{}>{}</option>',
        (
            (code, SafeString(" selected") if code == chosen else "", label)
            for code, label in country_choices()
        ),
    )


class CountryField(forms.CharField):
    """A choice of countries that does not read them all for each form, as Django's own does."""

    widget = CountrySelect

    def validate(self, value: str) -> None:
        super().validate(value)
        if value and value not in dict(country_choices()):
            raise ValidationError(
                forms.ChoiceField.default_error_messages["invalid_choice"],
                code="invalid_choice",
                params={"value": value},
            )


def parse_typed_phone(phone: str, country: str) -> str:
    """Return the E.164 form of the two fields of the phone form as sent. Raises PhoneError."""
    return parse_phone(phone, country.strip() or None)


class PhoneForm(forms.Form):
    country = CountryField(label=_("Country"), required=False)
    phone = forms.CharField(
        label=_("Phone"),
        required=False,
        strip=False,
        widget=DrawnInput(
            attrs={"type": "tel", "autocomplete": "tel", "inputmode": "tel", "required": True}
        ),
    )

    def clean(self) -> dict[str, Any]:
        """Put the E.164 form of the phone into `phone`."""
        data = super().clean() or {}
        if "country" in self.errors or "phone" in self.errors:
            return data
        try:
            data["phone"] = parse_typed_phone(data["phone"], data.get("country") or "")
        except PhoneError as error:
            self.add_error("phone", PHONE_MESSAGES[error.code])
        return data


def without_marks(typed: str) -> str:
    """Drop invisible signs (directions, joiners), as they come with what is pasted."""
    return "".join(c for c in typed if unicodedata.category(c) != "Cf")


def clean_name(typed: str, longest: int = MAX_NAME_LENGTH) -> str:
    """Return a name as people write it: composed, single spaces. Raises ValidationError.

    Invisible direction marks, as pasted from elsewhere, are dropped; anything that is not part of a
    name (an emoji, an address, a control character) is refused, because names go into emails.
    """
    name = " ".join(unicodedata.normalize("NFC", without_marks(typed)).split())
    letters = "".join(c for c in name if not unicodedata.category(c).startswith("M"))
    if not NAME.match(letters) or ADDRESS_IN_NAME.search(letters):
        raise ValidationError(_("Use letters only, please."), code="not_a_name")
    if len(name) > longest:
        raise ValidationError(_("This is too long."), code="max_length")
    return name


def validate_reachable(email: str) -> None:
    """Refuse an address that names no mail domain but a machine: `a@[127.0.0.1]`, `a@localhost`.

    Raises ValidationError.
    """
    domain = email.rpartition("@")[2]
    if domain.startswith("[") or "." not in domain:
        raise ValidationError(_("This address cannot receive email."), code="invalid")


class RegisterForm(forms.Form):
    first_name = forms.CharField(
        label=_("First name"),
        max_length=MAX_NAME_LENGTH,
        widget=DrawnInput(attrs={"autocomplete": "given-name"}),
    )
    last_name = forms.CharField(
        label=_("Last name"),
        max_length=MAX_NAME_LENGTH,
        widget=DrawnInput(attrs={"autocomplete": "family-name"}),
    )
    email = forms.EmailField(
        label=_("Email"),
        max_length=254,
        validators=[validate_reachable],
        widget=DrawnInput(attrs={"type": "email", "autocomplete": "email", "inputmode": "email"}),
    )

    def clean_first_name(self) -> str:
        return clean_name(self.cleaned_data["first_name"])

    def clean_last_name(self) -> str:
        return clean_name(self.cleaned_data["last_name"])


# Characters that a code may come with: as pasted, each digit with a separator or an invisible sign.
MAX_TYPED_CODE = 40


def bare_code(typed: str) -> str:
    """Return a code as typed or pasted without its separators, with digits in ASCII.

    Spaces, dashes, dots, quotes and invisible signs are separators; letters and signs that change
    a number stay, so that the code is refused.
    """
    kept = [c for c in typed if unicodedata.category(c)[0] not in "ZPCM" and c not in DASHES]
    return "".join(str(unicodedata.decimal(c, c)) for c in kept)


class CodeForm(forms.Form):
    code = forms.CharField(
        label=_("Code"),
        max_length=MAX_TYPED_CODE,
        widget=DrawnInput(attrs={"autocomplete": "one-time-code", "inputmode": "numeric"}),
    )

    def clean_code(self) -> str:
        """Return six ASCII digits, whatever script they were typed in."""
        code = bare_code(self.cleaned_data["code"])
        if len(code) != 6 or not (code.isascii() and code.isdecimal()):
            raise ValidationError(_("The code has six digits."), code="not_a_code")
        return code


class SecondFactorForm(forms.Form):
    """Six digits of an authenticator app, or a backup code, separators or not."""

    code = forms.CharField(
        label=_("Code"),
        max_length=MAX_TYPED_CODE,
        widget=forms.TextInput(
            attrs={"autocomplete": "one-time-code", "autofocus": True, "autocapitalize": "none"}
        ),
    )

    def clean_code(self) -> str:
        return bare_code(self.cleaned_data["code"]).lower()
