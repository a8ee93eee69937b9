"""How many one-time codes may be sent in ten minutes, and when the next one may.

All browsers that the account has never used share one budget for its phone. Past that budget each
code needs a solved challenge. A browser that the account has used has its own budget, which
strangers cannot use up.

For one hour a code to an unproven email also counts as an email that strangers cause. The first
codes to browsers that the account has used do not count, so strangers who fill the mailbox cannot
keep its owner out. These codes are few, because a stranger who registers another person's email
has such a browser, too.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import ceil

from django.conf import settings
from django.db import connection
from django.db.models import QuerySet

from accounts.exceptions import AccountError
from accounts.models import LoginCode, User
from notifications.recipients import RECIPIENT_WINDOW, caused_by_strangers
from snap.control.switches import CHALLENGE, is_on

# Number of the advisory lock under which codes are counted. Any number that no other lock uses.
CODES_LOCK = 0x534E4150

CODE_WINDOW = timedelta(minutes=10)

# Codes an hour to an account's unproven email, for browsers that the account has used, which do not
# count as emails that strangers cause.
OWN_UNPROVEN_CODES = 3


@dataclass(frozen=True)
class Budget:
    """A limit of codes in a window, and a higher one if each further code has a solved challenge.

    `nth_newest` returns when the nth newest counted code was created, or None if there are fewer.
    """

    nth_newest: Callable[[int], datetime | None]
    limit: int
    solved_limit: int
    window: timedelta = CODE_WINDOW


@dataclass(frozen=True)
class BudgetRefusal:
    """A budget is used up until then. `may_solve`: a solved challenge lets the code through now."""

    until: datetime
    may_solve: bool


def check_budgets(code: LoginCode, *, solved: bool) -> bool:
    """Raise AccountError `too_many_codes` when a budget for this code is used up. Six queries.

    Return whether the code counts as an email that strangers cause, if it goes by email. For an
    unproven email this takes up to three more queries.

    The error's `retry_after` is the number of seconds until the next code is allowed. `may_solve`
    says that a solved challenge allows it now.

    A lock lasts until the transaction ends: codes are counted and created one at a time, because
    two concurrent ones would not count each other. That takes some milliseconds; SNAP does not need
    more than a hundred codes a second.
    """
    now = _lock()
    used = LoginCode.objects.filter(account=code.account).exclude(used_at=None)
    proven = set(used.values_list("browser", flat=True).distinct()) - {""}
    known = (proven | {code.account.browser}) - {""}
    refusals = []
    for budget in _budgets(code, proven, known, now):
        refusal = _refusal(budget, solved=solved)
        if refusal:
            refusals.append(refusal)
    if refusals:
        raise _too_many_codes(refusals, now)
    return _is_by_stranger(code, known, now)


def _too_many_codes(refusals: list[BudgetRefusal], now: datetime) -> AccountError:
    """Return the error for the refusal that lasts longest. Without `may_solve` it counts first.

    No challenge helps while staff have turned it off.
    """
    final = [refusal for refusal in refusals if not refusal.may_solve]
    until = max(refusal.until for refusal in final or refusals)
    wait = ceil((until - now).total_seconds())
    return AccountError(
        "too_many_codes", retry_after=max(1, wait), may_solve=not final and is_on(CHALLENGE)
    )


def _lock() -> datetime:
    """Lock the creation of codes until the transaction ends. Return the database's time."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s), clock_timestamp()", [CODES_LOCK])
        now: datetime = cursor.fetchone()[1]
    return now


def _budgets(code: LoginCode, proven: set[str], known: set[str], now: datetime) -> Iterator[Budget]:
    """Yield the budgets of a code.

    `known` are the browsers that the account has used. `proven` are those that verified a code.
    """
    account = code.account
    recent = LoginCode.objects.filter(created_at__gt=now - CODE_WINDOW).order_by("-created_at")
    own = []
    by_strangers = []
    for browser, created_at in recent.filter(account=account).values_list("browser", "created_at"):
        if browser == code.browser:
            own.append(created_at)
        if browser not in known:
            by_strangers.append(created_at)
    limit = settings.LOGIN_CODES_PER_BROWSER
    yield Budget(_nth_of(own), limit, limit)
    if code.browser not in known:
        limit = settings.LOGIN_CODES_PER_PHONE
        yield Budget(_nth_of(by_strangers), limit, limit + settings.LOGIN_CODES_SOLVED)
    total = settings.LOGIN_CODES_IN_ALL
    if code.browser not in proven:
        # A registration proves nothing, so a browser that only registered shares these budgets.
        network = recent.filter(address_hash=code.address_hash)
        prefix = recent.filter(phone_prefix=code.phone_prefix)
        yield Budget(_nth_in(network), settings.LOGIN_CODES_PER_ADDRESS, total)
        # SMS fraud pays enough to solve challenges, so solved ones have a limit, too.
        limit = settings.LOGIN_CODES_PER_PREFIX
        yield Budget(_nth_in(prefix), limit, 2 * limit)
    yield Budget(_nth_in(recent), total, total)
    if code.channel == LoginCode.Channel.EMAIL and not account.has_proven_email:
        yield _recipients_budget(code, known, now)


def _recipients_budget(code: LoginCode, known: set[str], now: datetime) -> Budget:
    """Return the budget of emails that strangers cause to one mailbox.

    A browser that the account has used is refused only if its own OWN_UNPROVEN_CODES are used up.
    """
    emails = caused_by_strangers(code.account.email, now).values_list("created_at", flat=True)

    def nth_newest(n: int) -> datetime | None:
        filled = emails[n - 1 : n].first()
        if filled is None or code.browser not in known:
            return filled
        own = _codes_of(code.account, known, now).values_list("created_at", flat=True)
        spent = own[OWN_UNPROVEN_CODES - 1 : OWN_UNPROVEN_CODES].first()
        if spent is None:
            return None
        return min(filled, spent)

    limit = settings.EMAILS_PER_RECIPIENT
    return Budget(nth_newest, limit, 2 * limit, RECIPIENT_WINDOW)


def _is_by_stranger(code: LoginCode, known: set[str], now: datetime) -> bool:
    """Return whether a code counts as an email that strangers cause.

    A code to a proven email does not, nor do the first OWN_UNPROVEN_CODES of browsers that the
    account has used.
    """
    if code.account.has_proven_email:
        return False
    if code.browser not in known:
        return True
    return _codes_of(code.account, known, now).count() >= OWN_UNPROVEN_CODES


def _codes_of(account: User, browsers: set[str], now: datetime) -> QuerySet[LoginCode]:
    """Return the last hour's codes by email that these browsers asked for, newest first."""
    return LoginCode.objects.filter(
        account=account,
        browser__in=browsers,
        channel=LoginCode.Channel.EMAIL,
        created_at__gt=now - RECIPIENT_WINDOW,
    ).order_by("-created_at")


def _refusal(budget: Budget, *, solved: bool) -> BudgetRefusal | None:
    """Return the refusal of a budget that is used up, or None. One or two queries."""
    limit = budget.solved_limit if solved else budget.limit
    since = budget.nth_newest(limit)
    if since is None:
        return None
    if solved or budget.solved_limit <= budget.limit:
        return BudgetRefusal(since + budget.window, may_solve=False)
    since_solved = budget.nth_newest(budget.solved_limit)
    if since_solved is None:
        return BudgetRefusal(since + budget.window, may_solve=True)
    return BudgetRefusal(since_solved + budget.window, may_solve=False)


def _nth_of(times: list[datetime]) -> Callable[[int], datetime | None]:
    """Return the function that finds the nth of some times, newest first."""

    def nth_newest(n: int) -> datetime | None:
        if n > len(times):
            return None
        return times[n - 1]

    return nth_newest


def _nth_in(codes: QuerySet[LoginCode]) -> Callable[[int], datetime | None]:
    """Return the function that finds when the nth of some codes was created. One query a call."""
    return lambda n: codes.values_list("created_at", flat=True)[n - 1 : n].first()
