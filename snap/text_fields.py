"""Fields of forms and models whose text is cleaned before it is validated.

A model field cleans text in forms, in admin and in `createsuperuser`. For migrations it is a
CharField or TextField. `tests/test_text_fields.py` fails for a form with a text field that is not
cleaned.
"""

from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeVar

from django import forms
from django.core.exceptions import ValidationError
from django.db import models
from django.utils.translation import gettext_lazy as _

from snap.mail_addresses import ascii_address, clean_email, readable_address
from snap.text import clean_line, clean_lines

Cleaner = Callable[[str], str]

# The types of a column's values, when they are set and when they are read.
Set = TypeVar("Set", contravariant=True)
Get = TypeVar("Get", covariant=True)

TOO_LONG = _("This is too long.")
# How much longer than its maximum a text may be before it is cleaned. Marks that are composed, and
# invisible characters, do not count.
MARGIN = 4


def clean_typed(text: str, cleaner: Cleaner, max_length: int | None) -> str:
    """Return a cleaned text. One that is too long for any cleaning is refused without it."""
    if max_length is not None and len(text) > MARGIN * max_length:
        raise ValidationError(TOO_LONG, code="max_length")
    return cleaner(text)


class CleanedFormField(forms.CharField):
    """A form field that cleans its text. Its maximum is the length of the cleaned text."""

    default_error_messages = {"max_length": TOO_LONG}

    def __init__(self, *, cleaner: Cleaner = clean_line, **options: Any) -> None:
        super().__init__(strip=False, **options)
        self.cleaner = cleaner

    def to_python(self, value: Any) -> Any:
        text = super().to_python(value)
        if not text:
            return text
        text = str(text)
        return clean_typed(text, self.cleaner, self.max_length) or self.empty_value


class EmailFormField(CleanedFormField):
    """A form field for an email address, which it shows with its domain in Unicode."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"cleaner": clean_email, **options})

    def prepare_value(self, value: Any) -> Any:
        if isinstance(value, str):
            return readable_address(value)
        return value

    def has_changed(self, initial: Any, data: Any) -> bool:
        """Return whether another address was given, not the same one in another form."""
        if isinstance(initial, str):
            with suppress(UnicodeError):
                initial = ascii_address(initial)
        return super().has_changed(initial, data)


if TYPE_CHECKING:
    from django.db.models import CharField, TextField
else:
    # Django's fields take types only from type checkers.
    class CharField(models.CharField):
        def __class_getitem__(cls, _types):
            return cls

    class TextField(models.TextField):
        def __class_getitem__(cls, _types):
            return cls


class LineField(CharField[Set, Get]):
    """A column of one line of text."""

    stored_as = "django.db.models.CharField"

    @staticmethod
    def cleaner(text: str) -> str:
        return clean_line(text)

    def clean(self, value: Any, model_instance: models.Model | None) -> Any:
        if isinstance(value, str):
            value = clean_typed(value, self.cleaner, self.max_length)
        return super().clean(value, model_instance)

    def formfield(self, *classes: Any, **options: Any) -> Any:
        cleaning = {"form_class": CleanedFormField, "cleaner": self.cleaner}
        return super().formfield(*classes, **{**cleaning, **options})

    def deconstruct(self) -> Any:
        name, _path, arguments, options = super().deconstruct()
        return name, self.stored_as, arguments, options


class LinesField(TextField[Set, Get]):
    """A column of text with several lines."""

    def clean(self, value: Any, model_instance: models.Model | None) -> Any:
        if isinstance(value, str):
            value = clean_typed(value, clean_lines, self.max_length)
        return super().clean(value, model_instance)

    def formfield(self, *classes: Any, **options: Any) -> Any:
        cleaning = {"form_class": CleanedFormField, "cleaner": clean_lines}
        return super().formfield(*classes, **{**cleaning, **options})

    def deconstruct(self) -> Any:
        name, _path, arguments, options = super().deconstruct()
        return name, "django.db.models.TextField", arguments, options


class EmailAddressField(LineField[Set, Get]):
    """A column of an email address, in the form of `clean_email`."""

    stored_as = "django.db.models.EmailField"

    @staticmethod
    def cleaner(text: str) -> str:
        return clean_email(text)

    def formfield(self, *classes: Any, **options: Any) -> Any:
        return super().formfield(*classes, **{"form_class": EmailFormField, **options})
