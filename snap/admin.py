"""Base classes that the admin pages of all apps share."""

from typing import Any

from django.conf import settings
from django.contrib import admin
from django.contrib.admin.models import CHANGE, LogEntry
from django.core.paginator import Paginator
from django.db.models import Model, QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.functional import cached_property


def log_changes(user: Any, rows: QuerySet[Any], text: str) -> None:
    """Add a line for each row to admin's log of changes, in one statement."""
    LogEntry.objects.log_actions(user.pk, rows, CHANGE, change_message=text)


class ReadOnlyAdmin(admin.ModelAdmin):  # type: ignore[type-arg]  # not subscriptable at run time
    """Shows rows that staff neither add nor delete. They edit only the fields of the form, if any.

    Such a row makes sure that something happens once. Without the row it could happen again.
    """

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        """Hide the save buttons if the form has no fields."""
        if not context["adminform"].form.fields:
            context |= {"show_save": False, "show_save_and_continue": False}
        return super().render_change_form(request, context, *args, **kwargs)


class CappedPaginator(Paginator):  # type: ignore[type-arg]  # not subscriptable at run time
    """Counts at most ADMIN_MAX_COUNT rows. Counting a million is most of a page's cost."""

    object_list: QuerySet[Any]

    @cached_property
    def count(self) -> int:
        return self.object_list.order_by()[: settings.ADMIN_MAX_COUNT].count()

    @property
    def is_cut(self) -> bool:
        return self.count == settings.ADMIN_MAX_COUNT


class LongListAdmin(admin.ModelAdmin):  # type: ignore[type-arg]  # not subscriptable at run time
    """A list whose pages cost the same however many rows there are."""

    paginator = CappedPaginator
    show_full_result_count = False


class ChangedFieldsAdmin(admin.ModelAdmin):  # type: ignore[type-arg]  # not subscriptable at run time
    """Saves only the fields that were changed in the form: others write to the same rows."""

    def save_model(self, request: HttpRequest, obj: Model, form: Any, change: bool) -> None:
        if not change:
            obj.save()
            return
        columns = {field.name for field in obj._meta.concrete_fields}
        changed = columns.intersection(form.changed_data)
        if changed:
            obj.save(update_fields=changed)
