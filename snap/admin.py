"""Base classes that the admin pages of all apps share."""

from contextlib import suppress
from typing import Any

from django.conf import settings
from django.contrib import admin
from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.admin.views.main import ChangeList
from django.contrib.admin.widgets import AutocompleteSelect
from django.core.exceptions import ValidationError
from django.core.paginator import Paginator
from django.db import models
from django.db.models import Model, QuerySet
from django.forms import CheckboxSelectMultiple
from django.http import HttpRequest, HttpResponse
from django.utils.functional import cached_property
from django.utils.text import smart_split, unescape_string_literal
from django.utils.translation import gettext

from snap.mail_addresses import ascii_address
from snap.search import Folded, folds, is_name, rank_by_name
from snap.text import clean_lines, clean_search
from snap.text_fields import CleanedFormField


def log_changes(user: Any, rows: QuerySet[Any], text: str) -> None:
    """Add a line for each row to admin's log of changes, in one statement."""
    LogEntry.objects.log_actions(user.pk, rows, CHANGE, change_message=text)


class NameOrderList(ChangeList):
    """Sorts names as people do: `Álvaro` before `Zé`.

    The help for the search is shown by change_list.html: Django's own place makes the field one
    that screen readers do not name.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.search_help, self.search_help_text = self.search_help_text, None

    def get_ordering_field(self, field_name: Any) -> Any:
        field: Any = super().get_ordering_field(field_name)
        if not isinstance(field, str) or not is_name(field):
            return field
        relation = field.rpartition("__")[0]
        if relation:
            return rank_by_name(self.model, relation)
        return Folded(field)


class NamedAutocompleteSelect(AutocompleteSelect):
    """A choice that searches. While it is empty its text is its name for screen readers."""

    def build_attrs(
        self, base_attrs: dict[str, Any], extra_attrs: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        attrs = super().build_attrs(base_attrs, extra_attrs)
        attrs["data-placeholder"] = gettext("Choose")
        return attrs


class NamedChoices(admin.options.BaseModelAdmin):  # type: ignore[type-arg]
    """Forms and inlines whose choices have a name, and whose many choices are checkboxes."""

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **options: Any) -> Any:
        if db_field.name in self.get_autocomplete_fields(request):
            options["widget"] = NamedAutocompleteSelect(db_field, self.admin_site)
        return super().formfield_for_foreignkey(db_field, request, **options)

    def formfield_for_manytomany(self, db_field: Any, request: HttpRequest, **options: Any) -> Any:
        options["widget"] = CheckboxSelectMultiple()
        return super().formfield_for_manytomany(db_field, request, **options)


class CleanedAdmin(admin.options.BaseModelAdmin):  # type: ignore[type-arg]  # not subscriptable
    """Cleans the text of columns that are not cleaned by themselves: those of other packages."""

    def formfield_for_dbfield(self, db_field: Any, request: HttpRequest, **options: Any) -> Any:
        if type(db_field) is models.CharField and not db_field.choices:
            options["form_class"] = CleanedFormField
        elif type(db_field) is models.TextField:
            options |= {"form_class": CleanedFormField, "cleaner": clean_lines}
        return super().formfield_for_dbfield(db_field, request, **options)


class SnapAdmin(NamedChoices, CleanedAdmin, admin.ModelAdmin):  # type: ignore[type-arg]
    """The base of all admin pages: finds and sorts names without accents and capitals.

    Each of `search_fields` is a lookup such as `email__istartswith`. Names need none: `name` means
    `name__folded`.
    """

    def get_changelist(self, request: HttpRequest, **options: Any) -> type[ChangeList]:
        return NameOrderList

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        """Keep rows in which each word of the term is found in a search field."""
        for word in searched_words(split_words(clean_search(search_term))):
            queryset = queryset.filter(pk__in=self.rows_with(stored_form(word), request))
        return queryset, False

    def rows_with(self, word: str, request: HttpRequest) -> QuerySet[Any]:
        """Return the ids of rows with a word in a search field.

        Each field is searched by a query of its own, since PostgreSQL uses no index for conditions
        on several tables that are joined by OR. The union also keeps it from reading all rows in
        the order of the list until a page is full, which takes seconds for a rare word.
        """
        found = self.model._default_manager.none().values("pk")
        arms = []
        for field in self.get_search_fields(request):
            try:
                arms.append(self.matching(folds(str(field)), word))
            except (ValidationError, ValueError):
                continue  # The word is no value of the field, such as a UUID.
        rows: QuerySet[Any] = found.union(*arms)
        return rows

    def matching(self, lookup: str, word: str) -> QuerySet[Any]:
        """Return the ids of rows whose field matches a word."""
        rows: QuerySet[Any] = self.model._default_manager.order_by()
        return rows.filter(**{lookup: word}).values("pk")


def split_words(term: str) -> list[str]:
    """Return the words of a search. A text in quotes is one word."""
    words = []
    for word in smart_split(term):
        if word.startswith(('"', "'")) and word[0] == word[-1]:
            word = unescape_string_literal(word)
        words.append(word)
    return words


def searched_words(words: list[str]) -> list[str]:
    """Leave out signs that stand alone, such as those of `… 3411` and `Ana & Rui`."""
    return [word for word in words if any(map(str.isalnum, word))] or words


def stored_form(word: str) -> str:
    """Return a word as it is stored: an email with its domain in ASCII."""
    with suppress(UnicodeError):
        return ascii_address(word)
    return word


class ReadOnlyAdmin(SnapAdmin):
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


class LongListAdmin(SnapAdmin):
    """A list whose pages cost the same however many rows there are."""

    paginator = CappedPaginator
    show_full_result_count = False


class ChangedFieldsAdmin(SnapAdmin):
    """Saves only the fields that were changed in the form: others write to the same rows."""

    def save_model(self, request: HttpRequest, obj: Model, form: Any, change: bool) -> None:
        if not change:
            obj.save()
            return
        columns = {field.name for field in obj._meta.concrete_fields}
        changed = columns.intersection(form.changed_data)
        if changed:
            obj.save(update_fields=changed)
