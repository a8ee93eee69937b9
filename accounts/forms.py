"""Forms for phone, name, email and codes. Each invalid value has its own message."""

import unicodedata
from copy import deepcopy
from functools import lru_cache
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.forms.utils import flatatt
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import get_language
from django.utils.translation import gettext_lazy as _

from accounts.countries import Choice, country_labels, likely_countries, other_countries
from accounts.names import MAX_NAME_LENGTH, clean_name
from accounts.phones import PHONE_MESSAGES, PhoneError, parse_phone, plain_phone
from snap.local_cache import on_reset
from snap.mail_addresses import MAX_LENGTH as MAX_EMAIL_LENGTH
from snap.text import clean_search
from snap.text_fields import CleanedFormField, EmailFormField

# Characters that look like a dash but have another Unicode category: minus signs, overlines, the
# long vowel mark of Japanese keyboards, a bar, a tilde.
DASHES = "\u2212\u00af\u02c9\u02d7\u207b\u208b\u30fc\uff70|~"


class FastTextInput(forms.TextInput):
    """Renders its tag without a template, in a fifth of the time."""

    def render(self, name: str, value: Any, attrs: Any = None, renderer: Any = None) -> SafeString:
        tag_attrs = {"type": self.input_type, "name": name, "value": self.format_value(value)}
        return format_html("<input{}>", flatatt(tag_attrs | self.build_attrs(self.attrs, attrs)))


class CountrySelect(forms.Select):
    """Caches the HTML of its 245 options. Django's template takes 10 ms of CPU for each form."""

    def render(self, name: str, value: Any, attrs: Any = None, renderer: Any = None) -> SafeString:
        chosen = value if value in country_labels() else ""
        options = _country_options(get_language() or "", chosen)
        tag_attrs = flatatt({**self.build_attrs(self.attrs, attrs), "name": name})
        return format_html("<select{}>{}</select>", tag_attrs, options)


@lru_cache(maxsize=1024)
def _country_options(_language: str, chosen: str) -> SafeString:
    groups = [
        (_("Most frequent"), _options(likely_countries(), chosen)),
        (_("All others"), _options(other_countries(), chosen)),
    ]
    return format_html_join("", '<optgroup label="{}">{}</optgroup>', groups)


on_reset(_country_options.cache_clear)


def _options(choices: list[Choice], chosen: str) -> SafeString:
    options = []
    for code, label in choices:
        selected = SafeString(" selected") if code == chosen else ""
        options.append((code, selected, label))
    return format_html_join("", '<option value="{}"{}>{}</option>', options)


class CountryField(CleanedFormField):
    """A country code. Django's ChoiceField would copy all choices for each form."""

    widget = CountrySelect

    def __init__(self, **options: Any) -> None:
        super().__init__(cleaner=clean_search, **options)

    def validate(self, value: str) -> None:
        super().validate(value)
        if value and value not in country_labels():
            raise ValidationError(
                forms.ChoiceField.default_error_messages["invalid_choice"],
                code="invalid_choice",
                params={"value": value},
            )


def parse_typed_phone(phone: str, country: str) -> str:
    """Return the E.164 form of the phone form's two fields as sent. Raises PhoneError."""
    return parse_phone(plain_phone(phone), clean_search(country) or None)


class PhoneForm(forms.Form):
    country = CountryField(label=_("Country"), required=False)
    phone = CleanedFormField(
        label=_("Phone"),
        cleaner=plain_phone,
        required=False,
        widget=FastTextInput(
            attrs={"type": "tel", "autocomplete": "tel", "inputmode": "tel", "required": True}
        ),
    )

    def clean(self) -> dict[str, Any]:
        """Set `phone` to the phone in E.164 form."""
        data = super().clean() or {}
        if "country" in self.errors or "phone" in self.errors:
            return data
        try:
            data["phone"] = parse_typed_phone(data["phone"], data.get("country") or "")
        except PhoneError as error:
            self.add_error("phone", PHONE_MESSAGES[error.code])
        return data


class RegisterForm(forms.Form):
    """Names and email. People with one name write it as the first one."""

    first_name = CleanedFormField(
        label=_("First name"),
        cleaner=clean_name,
        max_length=MAX_NAME_LENGTH,
        widget=FastTextInput(attrs={"autocomplete": "given-name"}),
    )
    last_name = CleanedFormField(
        label=_("Last name"),
        cleaner=clean_name,
        max_length=MAX_NAME_LENGTH,
        required=False,
        widget=FastTextInput(attrs={"autocomplete": "family-name", "placeholder": _("optional")}),
    )
    email = EmailFormField(
        label=_("Email"),
        max_length=MAX_EMAIL_LENGTH,
        widget=FastTextInput(
            attrs={"type": "email", "autocomplete": "email", "inputmode": "email"}
        ),
    )


# The maximum length of a code as typed or pasted, with a separator or invisible mark at each digit.
MAX_TYPED_CODE = 40


def normalize_code(typed: str) -> str:
    """Return a typed or pasted code without separators, with ASCII digits.

    Spaces, dashes, dots, quotes and invisible marks are separators. All other characters are kept,
    so that the code is refused.
    """
    code = ""
    for character in typed:
        is_separator = unicodedata.category(character)[0] in "ZPCM" or character in DASHES
        if not is_separator:
            code += str(unicodedata.decimal(character, character))
    return code


class CodeForm(forms.Form):
    code = CleanedFormField(
        label=_("Code"),
        max_length=MAX_TYPED_CODE,
        widget=FastTextInput(attrs={"autocomplete": "one-time-code", "inputmode": "numeric"}),
    )

    def clean_code(self) -> str:
        """Return six ASCII digits. They may be typed in any script."""
        code = normalize_code(self.cleaned_data["code"])
        if len(code) != 6 or not (code.isascii() and code.isdecimal()):
            raise ValidationError(_("The code has six digits."), code="not_a_code")
        return code


class EmailForm(forms.Form):
    """Asks for another email, with the field of the registration."""

    email = deepcopy(RegisterForm.base_fields["email"])


class EmailAndCodeForm(EmailForm):
    """Asks for another email and the code that proves the account."""

    code = deepcopy(CodeForm.base_fields["code"])

    clean_code = CodeForm.clean_code


class SecondFactorForm(forms.Form):
    """Six digits of an authenticator app or a backup code, with or without separators."""

    code = CleanedFormField(
        label=_("Code"),
        max_length=MAX_TYPED_CODE,
        widget=forms.TextInput(
            attrs={"autocomplete": "one-time-code", "autofocus": True, "autocapitalize": "none"}
        ),
    )

    def clean_code(self) -> str:
        return normalize_code(self.cleaned_data["code"]).lower()
