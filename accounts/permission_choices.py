"""Permissions as staff read them: `Guests: change`, for the models that admin shows."""

from typing import Any

from django import forms
from django.apps import apps
from django.contrib import admin
from django.contrib.auth.models import Permission
from django.contrib.contenttypes.models import ContentType
from django.http import HttpRequest
from django.utils.text import capfirst
from django.utils.translation import gettext_lazy as _

ACTIONS = {
    "add": _("add"),
    "change": _("change"),
    "delete": _("delete"),
    "view": _("view"),
    "send": _("send"),
}
# The apps of which staff get permissions. Only superusers manage second factors and groups.
APPS = ["accounts", "guests", "notifications", "snap"]


class PermissionsField(forms.ModelMultipleChoiceField):  # type: ignore[type-arg]
    def label_from_instance(self, obj: Any) -> str:
        model = obj.content_type.model_class()
        action = ACTIONS.get(obj.codename.partition("_")[0])
        if model is None or action is None:
            return str(obj.name)
        return f"{capfirst(model._meta.verbose_name_plural)}: {action}"


class PermissionChoices(admin.ModelAdmin):  # type: ignore[type-arg]  # not subscriptable at run time
    """Offers permissions as checkboxes, in words.

    Permissions of other apps have no effect in this admin, so they are not offered.
    """

    def shown_types(self) -> list[ContentType]:
        """Return the types of the rows that admin shows: on pages of their own, or inline."""
        shown: set[Any] = set()
        for model in filter(self.admin_site.is_registered, apps.get_models()):
            shown.add(model)
            shown.update(inline.model for inline in self.admin_site.get_model_admin(model).inlines)
        types = ContentType.objects.filter(app_label__in=APPS)
        return [each for each in types if each.model_class() in shown]

    def formfield_for_manytomany(self, db_field: Any, request: HttpRequest, **options: Any) -> Any:
        if db_field.remote_field.model is not Permission:
            return super().formfield_for_manytomany(db_field, request, **options)
        permissions = Permission.objects.filter(content_type__in=self.shown_types())
        return PermissionsField(
            label=capfirst(db_field.verbose_name),
            queryset=permissions.select_related("content_type").order_by("content_type", "pk"),
            required=False,
            widget=forms.CheckboxSelectMultiple,
        )
