"""How many one-time codes may be sent in ten minutes, and when the next one may.

Requests of strangers for one phone count together, and past their budget each needs a solved
challenge. A browser that the account has used before has a budget of its own, which strangers
cannot use up.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import ceil

from django.conf import settings
from django.db import connection
from django.db.models import QuerySet

from .errors import AccountError
from .models import LoginCode

# One number for the advisory lock under which codes are counted, any that nobody else uses.
CODES_LOCK = 0x534E4150

CODE_WINDOW = timedelta(minutes=10)


@dataclass(frozen=True)
class Budget:
    """So many codes in the window, and so many when a challenge is solved for each beyond them.

    `nth_newest` returns when the nth newest code that counts was made, None if there are fewer.
    """

    nth_newest: Callable[[int], datetime | None]
    limit: int
    solved_limit: int


@dataclass(frozen=True)
class Refusal:
    """A budget is used up until the code made at `since` leaves the window."""

    since: datetime
    may_solve: bool


def check_budgets(code: LoginCode, *, solved: bool) -> None:
    """Raise AccountError `too_many_codes` when a budget for this code is used up. Six queries.

    `retry_after` is when the window lets the next code through. `may_solve` says that a solved
    challenge lets it through at once.

    Codes are counted and made one at a time, for as long as the transaction lasts: two at once
    would not count each other. That is some milliseconds, and a hundred codes a second are plenty.
    """
    now = _lock()
    refusals = [each for budget in _budgets(code, now) if (each := _refusal(budget, solved=solved))]
    if not refusals:
        return
    walls = [refusal for refusal in refusals if not refusal.may_solve]
    since = max(refusal.since for refusal in walls or refusals)
    wait = ceil((since + CODE_WINDOW - now).total_seconds())
    raise AccountError("too_many_codes", retry_after=max(1, wait), may_solve=not walls)


def _lock() -> datetime:
    """Have codes made one at a time until the transaction ends. Return the database's time."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s), clock_timestamp()", [CODES_LOCK])
        now: datetime = cursor.fetchone()[1]
    return now


def _budgets(code: LoginCode, now: datetime) -> Iterator[Budget]:
    account = code.account
    used = LoginCode.objects.filter(account=account).exclude(used_at=None)
    proven = set(used.values_list("browser", flat=True).distinct())
    known = (proven | {account.browser}) - {""}
    recent = LoginCode.objects.filter(created_at__gt=now - CODE_WINDOW).order_by("-created_at")
    of_account = list(recent.filter(account=account).values_list("browser", "created_at"))
    own = [made for browser, made in of_account if browser == code.browser]
    yield Budget(_nth_of(own), settings.LOGIN_CODES_PER_BROWSER, settings.LOGIN_CODES_PER_BROWSER)
    if code.browser not in known:
        strangers = [made for browser, made in of_account if browser not in known]
        limit = settings.LOGIN_CODES_PER_PHONE
        yield Budget(_nth_of(strangers), limit, limit + settings.LOGIN_CODES_SOLVED)
    most = settings.LOGIN_CODES_IN_ALL
    if code.browser not in proven:
        # To register proves nothing, so a browser that did no more shares these budgets.
        network = recent.filter(address_hash=code.address_hash)
        prefix = recent.filter(phone_prefix=code.phone_prefix)
        yield Budget(_nth_in(network), settings.LOGIN_CODES_PER_ADDRESS, most)
        # A text message costs money: who pumps them solves challenges, too.
        limit = settings.LOGIN_CODES_PER_PREFIX
        yield Budget(_nth_in(prefix), limit, 2 * limit)
    yield Budget(_nth_in(recent), most, most)


def _refusal(budget: Budget, *, solved: bool) -> Refusal | None:
    wall = budget.solved_limit
    since = budget.nth_newest(wall if solved else budget.limit)
    if since is None:
        return None
    if solved or wall <= budget.limit:
        return Refusal(since, may_solve=False)
    at_the_wall = budget.nth_newest(wall)
    return Refusal(at_the_wall or since, may_solve=at_the_wall is None)


def _nth_of(made: list[datetime]) -> Callable[[int], datetime | None]:
    return lambda n: made[n - 1] if len(made) >= n else None


def _nth_in(codes: QuerySet[LoginCode]) -> Callable[[int], datetime | None]:
    return lambda n: codes.values_list("created_at", flat=True)[n - 1 : n].first()
