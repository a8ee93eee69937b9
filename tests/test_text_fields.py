"""Every text field of every form, admin page and API call cleans its text."""

import importlib
import pkgutil
from collections.abc import Iterator
from typing import Any

import pytest
from django import forms
from django.contrib import admin
from django.contrib.auth.forms import UsernameField
from django.core.exceptions import ValidationError
from django.core.management import CommandError, call_command
from django.test import RequestFactory
from rest_framework import serializers
from rest_framework.fields import CharField as ApiCharField

import accounts
import guests
import notifications
import promo
import snap
from accounts.models import User
from promo.api.serializers import ResponseSerializer, StringField
from snap.text_fields import CleanedFormField
from tests.factories import make_staff

APPS = (accounts, guests, notifications, promo, snap)
# Text that is compared as it is, and the phone of a staff sign-in, which `parse_phone` reads.
UNCLEANED = (UsernameField, forms.UUIDField)
# What a text that nobody sees, and what no text contains.
INVISIBLE = "\u200b\u2060\u3164"
CONTROL = "a\x1bb"


def load_all() -> None:
    """Import all modules, so that all classes of forms and serializers exist."""
    for app in APPS:
        for module in pkgutil.walk_packages(app.__path__, f"{app.__name__}."):
            if ".migrations" not in module.name and ".local" not in module.name:
                importlib.import_module(module.name)


def subclasses(base: type[Any]) -> Iterator[type[Any]]:
    for each in base.__subclasses__():
        yield each
        yield from subclasses(each)


def our_classes(base: type) -> list[Any]:
    load_all()
    names = tuple(f"{app.__name__}." for app in APPS)
    return sorted(
        {each for each in subclasses(base) if each.__module__.startswith(names)}, key=repr
    )


def is_text(field: forms.Field) -> bool:
    """Return whether people write text into a field. A password is compared as it was typed."""
    is_secret = isinstance(field.widget, forms.PasswordInput)
    return isinstance(field, forms.CharField) and not is_secret and not isinstance(field, UNCLEANED)


def uncleaned_fields(form: Any, where: str) -> list[str]:
    found = []
    for name, field in form.base_fields.items():
        if is_text(field) and not isinstance(field, CleanedFormField):
            found.append(f"{where}.{name}")
    return found


def test_every_text_field_of_every_form_is_cleaned() -> None:
    forms_of_ours = our_classes(forms.BaseForm)
    assert {"RegisterForm", "EventForm", "CodeForm"} <= {form.__name__ for form in forms_of_ours}
    for form in forms_of_ours:
        if hasattr(form, "base_fields"):
            assert uncleaned_fields(form, form.__name__) == []


@pytest.mark.django_db
def test_every_text_field_of_every_admin_page_is_cleaned(rf: RequestFactory) -> None:
    request = rf.get("/admin/")
    request.user = make_staff()
    pages = admin.site._registry
    assert len(pages) > 10
    seen = 0
    for page in pages.values():
        found = []
        for change in (False, True):
            row = page.model() if change else None
            form = page.get_form(request, row, change=change)
            seen += len(form.base_fields)
            found += uncleaned_fields(form, type(page).__name__)
        for inline in page.get_inline_instances(request):
            formset = inline.get_formset(request)
            found += uncleaned_fields(formset.form, type(inline).__name__)
        assert found == []
    assert seen > 30


@pytest.mark.django_db
def test_every_search_of_admin_is_cleaned(rf: RequestFactory) -> None:
    request = rf.get("/admin/")
    for page in admin.site._registry.values():
        if page.search_fields:
            # PostgreSQL takes neither of these characters.
            for term in ("zq\0zq", "zq\ud800zq"):
                found, _ = page.get_search_results(request, page.model.objects.all(), term)
                assert not found.exists()


def test_every_string_of_every_api_call_is_cleaned() -> None:
    responses = tuple(subclasses(ResponseSerializer))
    checked = 0
    for serializer in our_classes(serializers.Serializer):
        if issubclass(serializer, responses) or serializer.__name__.endswith("DataSerializer"):
            continue
        if serializer in {ResponseSerializer} or serializer.__module__ == "snap.api_errors":
            continue
        for name, field in serializer().fields.items():
            if isinstance(field, ApiCharField):
                assert isinstance(field, StringField), (serializer, name)
                checked += 1
    assert checked > 8


def test_every_cleaned_field_refuses_control_characters_and_drops_what_is_invisible() -> None:
    for form in our_classes(forms.BaseForm):
        for name, field in getattr(form, "base_fields", {}).items():
            if not isinstance(field, CleanedFormField) or name in {"country", "phone"}:
                continue
            assert not field.to_python(INVISIBLE)
            with pytest.raises(ValidationError):
                field.clean(CONTROL)


@pytest.mark.django_db
def test_a_command_cleans_as_forms_do() -> None:
    person = {"phone": "912\u202f345 678", "first_name": "Madonna\u200b", "email": "m@faß.example"}
    call_command("createsuperuser", interactive=False, verbosity=0, **person)
    boss = User.objects.get()
    assert (boss.phone, boss.name) == ("+351912345678", "Madonna")
    assert boss.email == "m@xn--fa-hia.example"
    for wrong in ({"phone": "760100200"}, {"first_name": "evil.co"}, {"email": "a@localhost"}):
        with pytest.raises(CommandError):
            call_command("createsuperuser", interactive=False, verbosity=0, **person | wrong)
