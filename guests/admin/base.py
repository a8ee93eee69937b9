"""Functions and constants that the admin pages of guest lists and claims share."""

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
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

from accounts.models import ClaimChange, User
from guests.models import StateChange
from snap.observability.logs import describe_error

log = logging.getLogger(__name__)
EMPTY = "–"
MAX_SHOWN = 50  # the most rows that one message or field shows
ACCOUNT_PREFIX = "account:"  # in a history, before the id of the account that acted

NO_NAMES: Mapping[str, str] = {}


def acting_user(request: HttpRequest) -> User:
    assert isinstance(request.user, User)
    return request.user


# Fields ------------------------------------------------------------------------------------------


def link_to(url_name: str, text: object, *, pk: object = None, query: str = "") -> SafeString:
    """Return a link to an admin page: of one row with `pk`, else a list with an optional query."""
    args = []
    if pk:
        args.append(pk)
    url = reverse(f"admin:{url_name}", args=args)
    return format_html('<a href="{}{}">{}</a>', url, query, text)


def render_lines(line_format: str, rows: Iterable[Sequence[object]]) -> SafeString:
    """Return the rows, each in the HTML format, separated by line breaks."""
    return format_html_join(SafeString("<br>"), line_format, rows)


def render_time(at: datetime) -> str:
    return date_format(timezone.localtime(at), "SHORT_DATETIME_FORMAT")


def render_history(
    changes: Iterable[StateChange | ClaimChange],
    states: type[TextChoices],
    *,
    actor_names: Mapping[str, str] = NO_NAMES,
) -> SafeString:
    """Return a history as lines, in its order, with the names of the actors. Two queries.

    `actor_names` has names for actors that are not staff.
    """
    lines = list(changes)
    labels = dict(states.choices)
    names = {**actor_names, **staff_names(line.actor for line in lines)}
    rows = []
    for line in lines:
        from_label = labels.get(line.from_state, line.from_state) or EMPTY
        to_label = labels.get(line.to_state, line.to_state)
        actor = names.get(line.actor, line.actor)
        rows.append((render_time(line.at), from_label, to_label, actor))
    return render_lines("{} · {} → {} · {}", rows)


def staff_names(actors: Iterable[str]) -> dict[str, str]:
    """Return the names of the accounts among the actors of a history, by actor. One query."""
    ids = []
    for actor in actors:
        if actor.startswith(ACCOUNT_PREFIX):
            ids.append(actor.removeprefix(ACCOUNT_PREFIX))
    names = {}
    for user in User.objects.filter(pk__in=ids):
        names[f"{ACCOUNT_PREFIX}{user.pk}"] = user.name
    return names


def count_related(related: QuerySet[Any], key: str) -> Coalesce:
    """Return an annotation: the number of related rows, by their foreign key `key`."""
    rows = related.order_by().values(key).annotate(size=Count("pk")).values("size")
    return Coalesce(Subquery(rows, output_field=IntegerField()), 0)


# Actions -----------------------------------------------------------------------------------------


def run_batches(batches: Iterable[Callable[[], int]]) -> tuple[int, bool]:
    """Run batches, each a transaction, for at most half of DATABASE_PAGE_SECONDS.

    Each batch returns how many rows it changed. Return their sum, and whether all batches ran. If
    the database fails after rows were changed, the remaining batches are left out. If it fails
    before that, the error propagates.
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


def slices(ids: Sequence[int], size: int) -> list[Sequence[int]]:
    """Return the ids in slices of at most `size`."""
    return [ids[start : start + size] for start in range(0, len(ids), size)]


def report_progress(
    page: "admin.ModelAdmin[Any]", request: HttpRequest, text: str, *, is_all: bool
) -> None:
    """Show staff the result of an action. Without `is_all` ask them to choose the rest again."""
    if is_all:
        page.message_user(request, text, messages.SUCCESS)
        return
    rest = gettext("There was no time for the others: choose them again.")
    page.message_user(request, f"{text} {rest}", messages.WARNING)
