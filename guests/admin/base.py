"""What the admin pages of guest lists share."""

import logging
from collections.abc import Callable, Iterable
from time import monotonic
from typing import Any

from django.conf import settings
from django.contrib import admin, messages
from django.db import InterfaceError, OperationalError
from django.db.models import Count, IntegerField, QuerySet, Subquery, TextChoices
from django.db.models.functions import Coalesce
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext

from accounts.models import User
from guests.models import (
    StateChange,
)
from snap.observability.logs import describe_error

log = logging.getLogger(__name__)
NOTHING = "–"


def link_to(url_name: str, text: object, *, pk: object = None, query: str = "") -> SafeString:
    """Return a link to an admin page: a list with a query, or the page of one row."""
    url = reverse(f"admin:{url_name}", args=[pk] if pk else None)
    return format_html('<a href="{}{}">{}</a>', url, query, text)


def counted(related: QuerySet[Any], key: str) -> Coalesce:
    """Return how many related rows each row has, by their foreign key: a subquery of its own."""
    rows = related.order_by().values(key).annotate(size=Count("pk")).values("size")
    return Coalesce(Subquery(rows, output_field=IntegerField()), 0)


def acting_user(request: HttpRequest) -> User:
    assert isinstance(request.user, User)
    return request.user


def in_time(batches: Iterable[Callable[[], int]]) -> tuple[int, bool]:
    """Run batches, each a transaction, for at most half of what a page may take of the database.

    Return how many rows were changed, and whether that were all batches. When the database fails,
    what was committed before counts; with nothing committed the error propagates.
    """
    stop_at = monotonic() + settings.DATABASE_PAGE_SECONDS / 2
    done = 0
    for batch in batches:
        if monotonic() > stop_at:
            return done, False
        try:
            done += batch()
        except (OperationalError, InterfaceError) as error:
            if not done:
                raise
            log.warning("action_stopped", extra={"done": done, "error": describe_error(error)})
            return done, False
    return done, True


def report_progress(
    page: "admin.ModelAdmin[Any]", request: HttpRequest, text: str, *, is_all: bool
) -> None:
    """Tell staff what an action has done, and whether it has to be chosen again for the rest."""
    if is_all:
        page.message_user(request, text, messages.SUCCESS)
        return
    rest = gettext("There was no time for the others: choose them again.")
    page.message_user(request, f"{text} {rest}", messages.WARNING)


# Guests ------------------------------------------------------------------------------------------


def history_of(changes: QuerySet[StateChange], states: type[TextChoices]) -> str:
    """Return the lines of a history, the newest first, with the names of those who acted."""
    lines, labels = list(changes), dict(states.choices)
    keys = [line.actor.removeprefix("account:") for line in lines if "account:" in line.actor]
    names = {f"account:{user.pk}": user.name for user in User.objects.filter(pk__in=keys)}
    return format_html_join(
        SafeString("<br>"),
        "{} · {} → {} · {}",
        [
            (
                date_format(timezone.localtime(line.at), "SHORT_DATETIME_FORMAT"),
                labels.get(line.from_state, line.from_state) or NOTHING,
                labels.get(line.to_state, line.to_state),
                names.get(line.actor, line.actor),
            )
            for line in lines
        ],
    )
