"""What admin pages show: links, times, the actors of a history, and the results of actions."""

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from time import monotonic
from typing import Any

from django.conf import settings
from django.contrib import admin, messages
from django.contrib.auth import get_user_model
from django.db import InterfaceError, OperationalError
from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.functional import Promise
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from snap.observability.logs import describe_error

log = logging.getLogger(__name__)
EMPTY = "–"
MAX_SHOWN = 50  # the most rows that one message or field shows
ACCOUNT_PREFIX = "account:"  # in a history, before the id of the account that acted
PROCESS_PREFIX = "snap-"  # in a history, before the program of the process that acted
PROCESSES = {
    "granian": _("SNAP, for the visitor"),
    "uvicorn": _("SNAP, for the visitor"),
    "celery": _("SNAP, in the background"),
    "manage": _("SNAP, in the background"),
}


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


def actor_names(actors: Iterable[str]) -> dict[str, str]:
    """Return the name of each actor of a history: of an account, else of a process. One query."""
    given = set(actors)
    ids = []
    for actor in given:
        number = actor.removeprefix(ACCOUNT_PREFIX)
        if actor.startswith(ACCOUNT_PREFIX) and number.isdecimal():
            ids.append(int(number))
    accounts = get_user_model().objects.in_bulk(ids)
    names = {}
    for actor in given:
        names[actor] = _process_name(actor)
        number = actor.removeprefix(ACCOUNT_PREFIX)
        if actor.startswith(ACCOUNT_PREFIX):
            account = number.isdecimal() and accounts.get(int(number))
            names[actor] = str(account or gettext("a deleted account"))
    return names


def _process_name(actor: str) -> str:
    """Return what staff call a process, by the application name of its connection."""
    program = actor.removeprefix(PROCESS_PREFIX)
    if name := PROCESSES.get(program):
        return str(name)
    return gettext("program %(name)s") % {"name": program}


def words_filter(
    field: str, title: Promise, words: Callable[[], Mapping[Any, Any]]
) -> type[admin.SimpleListFilter]:
    """Return a filter by the codes of a field that shows staff their words."""

    class WordsFilter(admin.SimpleListFilter):
        parameter_name = f"{field}__exact"

        def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[Any, str]]:
            return [(code, str(word)) for code, word in words().items()]

        def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
            if self.value() is None:
                return queryset
            return queryset.filter(**{field: self.value()})

    WordsFilter.title = title  # type: ignore[assignment]  # translated when it is shown
    return WordsFilter


def language_in_words(code: str) -> str:
    """Return the name of a language, by the code that is stored."""
    names = {known: str(name) for known, name in settings.LANGUAGES}
    return names.get(code, EMPTY)


def error_in_words(error: str) -> str:
    """Return the error of a row as staff read it, "" without one."""
    if not error:
        return ""
    return gettext("Technical error: %(error)s") % {"error": error}


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
    page: "admin.ModelAdmin[Any]",
    request: HttpRequest,
    text: str,
    done: int,
    *,
    is_all: bool = True,
) -> None:
    """Show staff how many rows an action has changed: the `%(n)d` of the text.

    Nothing done is a warning, never a success. Without `is_all` ask them to choose the rest again.
    """
    text = text % {"n": done}
    if is_all:
        page.message_user(request, text, messages.SUCCESS if done else messages.WARNING)
        return
    rest = gettext("There was no time for the others: choose them again.")
    page.message_user(request, f"{text} {rest}", messages.WARNING)


def show_results(
    request: HttpRequest,
    *,
    done: Sequence[str],
    done_text: str,
    refused: Sequence[str],
    refused_text: str,
    is_all: bool = True,
) -> None:
    """Show staff what was done and what was refused, with a line for each, at most MAX_SHOWN.

    Nothing done is a warning, never a success. `done_text` and `refused_text` have a `%(n)d`.
    """
    if done:
        messages.success(request, _with_lines(done_text % {"n": len(done)}, done))
    if refused or not done:
        messages.warning(request, _with_lines(refused_text % {"n": len(refused)}, refused))
    if not is_all:
        rest = gettext("There was no time for the others: choose them again.")
        messages.warning(request, rest)


def _with_lines(text: str, lines: Sequence[str]) -> SafeString:
    shown = [[text], *([line] for line in lines[:MAX_SHOWN])]
    if len(lines) > MAX_SHOWN:
        shown.append(["…"])
    return render_lines("{}", shown)
