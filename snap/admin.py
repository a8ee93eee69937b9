"""Base classes that the admin pages of all apps share."""

from typing import Any

from django.contrib import admin
from django.contrib.admin.models import CHANGE, LogEntry
from django.core.paginator import Paginator
from django.db.models import Model, QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.functional import cached_property


def log_changes(user: Any, rows: QuerySet[Any], text: str) -> None:
    """Write one line for each row into admin's own log, in one statement."""
    LogEntry.objects.log_actions(user.pk, rows, CHANGE, change_message=text)


class ReadOnly(admin.ModelAdmin):  # type: ignore[type-arg]  # not subscriptable at run time
    """Shows what happened. Nothing is added or removed by hand, nor edited beyond a form's fields.

    What is removed could happen again: a row is what makes sure that it happened once.
    """

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        """Leave out the buttons that save where there is nothing to edit."""
        if not context["adminform"].form.fields:
            context |= {"show_save": False, "show_save_and_continue": False}
        return super().render_change_form(request, context, *args, **kwargs)


class CutPaginator(Paginator):  # type: ignore[type-arg]  # not subscriptable at run time
    """Counts no further than MOST rows: of a million, counting would be most of a page's cost."""

    MOST = 10_000
    object_list: QuerySet[Any]

    @cached_property
    def count(self) -> int:
        return self.object_list.order_by()[: self.MOST].count()

    @property
    def is_cut(self) -> bool:
        return self.count == self.MOST


class LongList(admin.ModelAdmin):  # type: ignore[type-arg]  # not subscriptable at run time
    """A list that grows for years, and whose pages cost no more for it."""

    paginator = CutPaginator
    show_full_result_count = False


class ChangesOnly(admin.ModelAdmin):  # type: ignore[type-arg]  # not subscriptable at run time
    """Saves what was changed in the form and nothing else: others write to the same rows."""

    def save_model(self, request: HttpRequest, obj: Model, form: Any, change: bool) -> None:
        columns = {field.name for field in obj._meta.concrete_fields}
        changed = columns.intersection(form.changed_data)
        if changed or not change:
            obj.save(update_fields=changed if change else None)
