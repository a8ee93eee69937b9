"""How many one-time codes may be sent in ten minutes, and when the next one may.

Requests of strangers for one phone count together, and past their budget each needs a solved
challenge. A browser that the account has used before has a budget of its own, which strangers
cannot use up.

A code to an email that nobody has proven also counts as an email that strangers cause, an hour
long. The first codes of a browser that the account has used do not, so that a full mailbox keeps
nobody out there. They are few: whoever registers a stranger's email has such a browser, too.
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

# One number for the advisory lock under which codes are counted, any that nobody else uses.
CODES_LOCK = 0x534E4150

CODE_WINDOW = timedelta(minutes=10)

# Codes an hour from the browsers that an account has used, to its email that nobody has proven,
# which do not count as caused by strangers.
OWN_UNPROVEN_CODES = 3


@dataclass(frozen=True)
class Budget:
    """So many codes in a window, and so many when a challenge is solved for each beyond them.

    `nth_newest` returns when the nth newest code that counts was made, None if there are fewer.
    """

    nth_newest: Callable[[int], datetime | None]
    limit: int
    solved_limit: int
    window: timedelta = CODE_WINDOW


@dataclass(frozen=True)
class Refusal:
    """A budget is used up until then."""

    until: datetime
    may_solve: bool


def check_budgets(code: LoginCode, *, solved: bool) -> bool:
    """Raise AccountError `too_many_codes` when a budget for this code is used up. Six queries.

    Return whether the code counts as an email that strangers cause, if it goes out by email. For an
    email that nobody has proven that takes up to three queries more.

    `retry_after` is when the window lets the next code through. `may_solve` says that a solved
    challenge lets it through at once.

    Codes are counted and made one at a time, for as long as the transaction lasts: two at once
    would not count each other. That is some milliseconds, and a hundred codes a second are plenty.
    """
    now = _lock()
    used = LoginCode.objects.filter(account=code.account).exclude(used_at=None)
    proven = set(used.values_list("browser", flat=True).distinct()) - {""}
    known = (proven | {code.account.browser}) - {""}
    budgets = _budgets(code, proven, known, now)
    refusals = [each for budget in budgets if (each := _refusal(budget, solved=solved))]
    if not refusals:
        return _is_by_stranger(code, known, now)
    walls = [refusal for refusal in refusals if not refusal.may_solve]
    until = max(refusal.until for refusal in walls or refusals)
    wait = ceil((until - now).total_seconds())
    raise AccountError("too_many_codes", retry_after=max(1, wait), may_solve=not walls)


def _lock() -> datetime:
    """Have codes made one at a time until the transaction ends. Return the database's time."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s), clock_timestamp()", [CODES_LOCK])
        now: datetime = cursor.fetchone()[1]
    return now


def _budgets(code: LoginCode, proven: set[str], known: set[str], now: datetime) -> Iterator[Budget]:
    """Return the budgets of a code. The account has used `known` browsers, `proven` with codes."""
    account = code.account
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
    if code.channel == LoginCode.Channel.EMAIL and not account.has_proven_email:
        yield _recipients_budget(code, known, now)


def _recipients_budget(code: LoginCode, known: set[str], now: datetime) -> Budget:
    """Return what one mailbox takes of strangers, until this browser has a code of its own left."""
    emails = caused_by_strangers(code.account.email, now).values_list("created_at", flat=True)

    def nth_newest(n: int) -> datetime | None:
        filled = emails[n - 1 : n].first()
        if filled is None or code.browser not in known:
            return filled
        own = _codes_of(code.account, known, now).values_list("created_at", flat=True)
        spent = own[OWN_UNPROVEN_CODES - 1 : OWN_UNPROVEN_CODES].first()
        return min(filled, spent) if spent else None

    limit = settings.EMAILS_PER_RECIPIENT
    return Budget(nth_newest, limit, 2 * limit, RECIPIENT_WINDOW)


def _is_by_stranger(code: LoginCode, known: set[str], now: datetime) -> bool:
    """Say whether a code is by somebody else than the account's reader, as far as can be known.

    Not to an email that is proven, nor the first few of the browsers that the account has used.
    """
    if code.account.has_proven_email:
        return False
    if code.browser not in known:
        return True
    return _codes_of(code.account, known, now).count() >= OWN_UNPROVEN_CODES


def _codes_of(account: User, browsers: set[str], now: datetime) -> QuerySet[LoginCode]:
    """Return the codes of the last hour that went from these browsers by email, newest first."""
    return LoginCode.objects.filter(
        account=account,
        browser__in=browsers,
        channel=LoginCode.Channel.EMAIL,
        created_at__gt=now - RECIPIENT_WINDOW,
    ).order_by("-created_at")


def _refusal(budget: Budget, *, solved: bool) -> Refusal | None:
    wall = budget.solved_limit
    since = budget.nth_newest(wall if solved else budget.limit)
    if since is None:
        return None
    if solved or wall <= budget.limit:
        return Refusal(since + budget.window, may_solve=False)
    at_the_wall = budget.nth_newest(wall)
    return Refusal((at_the_wall or since) + budget.window, may_solve=at_the_wall is None)


def _nth_of(made: list[datetime]) -> Callable[[int], datetime | None]:
    return lambda n: made[n - 1] if len(made) >= n else None


def _nth_in(codes: QuerySet[LoginCode]) -> Callable[[int], datetime | None]:
    return lambda n: codes.values_list("created_at", flat=True)[n - 1 : n].first()
