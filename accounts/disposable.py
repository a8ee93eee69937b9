"""Disposable email addresses: of services that give anybody a mailbox for some minutes.

The list is of the package `disposable-email-domains`. Such an address is never refused: the list
can be wrong, and a person may have a reason for one. Staff see the mark.
"""

from collections.abc import Iterator
from functools import cache
from importlib import import_module
from typing import Any

from django.contrib import admin
from django.contrib.postgres.fields import ArrayField
from django.db.models import BooleanField, F, Func, QuerySet, TextField, Value
from django.db.models.functions import Lower
from django.http import HttpRequest
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _


@cache
def _domains() -> frozenset[str]:
    """Return the domains. They are loaded when staff need them: they take a megabyte."""
    return frozenset(import_module("disposable_email_domains").blocklist)


def is_disposable(email: str) -> bool:
    """Return whether an address is of such a service, or of a domain below one of its domains."""
    domain = email.rpartition("@")[2].lower()
    while "." in domain:
        if domain in _domains():
            return True
        domain = domain.partition(".")[2]
    return False


def has_disposable_email(field: str) -> Func:
    """Return a condition for a column with addresses. It knows no domains below those listed."""
    domain = Func(Lower(F(field)), Value("@"), Value(2), function="split_part")
    listed = Value(sorted(_domains()), output_field=ArrayField(TextField()))
    return Func(
        domain,
        listed,
        template="%(expressions)s)",
        arg_joiner=" = ANY(",
        output_field=BooleanField(),
    )


class DisposableFilter(admin.SimpleListFilter):
    """Finds the people whose email is of a service for disposable addresses."""

    title = _("email")
    parameter_name = "email_is"
    email_field = "email"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("disposable", gettext("disposable"))]

    def choices(self, changelist: Any) -> Iterator[Any]:
        """Yield the choices without the counts that admin adds, which would read all accounts."""
        for value, title in [(None, gettext("All")), *self.lookup_choices]:
            query = changelist.get_query_string({self.parameter_name: value})
            if value is None:
                query = changelist.get_query_string(remove=[self.parameter_name])
            yield {"selected": self.value() == value, "query_string": query, "display": title}

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        if self.value() != "disposable":
            return queryset
        return queryset.filter(has_disposable_email(self.email_field))
