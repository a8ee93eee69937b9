"""Passwords of staff cannot be guessed: what django-axes is told about us.

It counts failures by phone and address together, so that nobody can lock a colleague out from
elsewhere. What it keeps and logs of the phone is its hash. An address that tries many phones is
counted as well. A browser in which staff have signed in with the right password has budgets of its
own: strangers behind its address cannot keep it out.
"""

import secrets
from datetime import timedelta
from math import ceil
from typing import Any

from axes.handlers.database import AxesDatabaseHandler
from axes.models import AccessAttempt
from django.conf import settings
from django.contrib.auth import BACKEND_SESSION_KEY
from django.db.models import Min, Sum
from django.http import HttpRequest, HttpResponse
from django.utils import timezone

from accounts.phones import PhoneError, parse_phone
from accounts.sessions import BACKEND, staff_browser
from accounts.suspicious import hash_personal, note_suspicious
from snap.addresses import client_address
from snap.error_pages import locked_out
from snap.limits.counters import Distinct, acquire, block_for
from snap.limits.policy import Policy


def staff_browser_key(request: HttpRequest) -> str:
    """Return the key of the budget of a browser that staff have signed in in before, or ""."""
    browser = staff_browser(request)
    return f"browser {browser}" if browser else ""


STAFF_SIGN_IN = Policy(owner=staff_browser_key, layer="staff_sign_in", limit="LIMIT_SIGN_IN")


class StaffSignIns(AxesDatabaseHandler):  # type: ignore[misc]  # it has no types
    """Axes on passwords only: guests sign in and out without a query of its."""

    def user_logged_in(self, sender: Any, request: HttpRequest, user: Any, **kwargs: Any) -> None:
        if request.session[BACKEND_SESSION_KEY] != BACKEND:
            super().user_logged_in(sender, request, user, **kwargs)

    def user_logged_out(self, sender: Any, request: HttpRequest, user: Any, **kwargs: Any) -> None:
        """Nothing is counted when somebody leaves."""


def username_of(request: HttpRequest, credentials: dict[str, Any] | None) -> str:
    """Return the hash of the phone that somebody signs in as, one for all ways to write it."""
    given = credentials if credentials is not None else request.POST
    typed = str(given.get("username") or "")
    try:
        typed = parse_phone(typed, settings.DEFAULT_COUNTRY)
    except PhoneError:
        typed = typed.strip().casefold()
    return hash_personal(typed)


def describe_client(
    username: str, ip_address: str, user_agent: str, path_info: str, request: HttpRequest
) -> str:
    """Return how a log line names whoever tried."""
    name = (
        username if len(username or "") == 32 and username.isalnum() else username_of(request, None)
    )
    return f"staff_hash={name} address={ip_address}"


def render_locked_out(
    request: HttpRequest, response: HttpResponse | None, credentials: dict[str, Any] | None
) -> HttpResponse:
    return locked_out(request, _seconds_left(request, credentials))


def refuse_sign_in(request: HttpRequest) -> HttpResponse | None:
    """Return the 429 for an address that has failed with many phones, before a password is hashed.

    A browser of staff is shut out for its own failures and no others. One query, or one round trip.
    The policy STAFF_SIGN_IN of the view limits how often an address or browser may try at all.
    """
    address, browser = client_address(request), staff_browser(request)
    if browser:
        wait = acquire([], [_failures_of(browser)]).blocked_for
    else:
        wait = _seconds_shut_out(address)
    if wait:
        note_suspicious("password_spray", address=address)
        return locked_out(request, wait)
    return None


def count_failure(request: HttpRequest) -> None:
    """Count a wrong password for its browser of staff; past the allowance, block that."""
    if not (browser := staff_browser(request)):
        return
    failure = secrets.token_hex(8)
    allowance = settings.STAFF_SIGN_IN_FAILURES
    counted = acquire([], [], [Distinct("staff_failures", browser, allowance, failure)])
    if counted.statuses[0].remaining == 0:
        block_for(_failures_of(browser), int(settings.AXES_COOLOFF_TIME.total_seconds()))


def _failures_of(browser: str) -> str:
    return f"staff failures of {browser}"


def _seconds_shut_out(address: str) -> int:
    """Return for how long an address is shut out that has failed with many phones, 0 if it is not.

    It may try again once its first failure is as old as AXES_COOLOFF_TIME.
    """
    pause, now = settings.AXES_COOLOFF_TIME, timezone.now()
    recent = AccessAttempt.objects.filter(ip_address=address, attempt_time__gt=now - pause)
    failures = recent.aggregate(number=Sum("failures_since_start"), first=Min("attempt_time"))
    if (failures["number"] or 0) < settings.STAFF_SIGN_IN_FAILURES:
        return 0
    shut_until = failures["first"] + pause
    return max(1, int((shut_until - now).total_seconds()))


def _seconds_left(request: HttpRequest, credentials: dict[str, Any] | None) -> int:
    """Return the time until enough failures are old enough for another try. One query."""
    now, pause = timezone.now(), settings.AXES_COOLOFF_TIME
    attempts = AccessAttempt.objects.filter(
        username=username_of(request, credentials),
        ip_address=client_address(request),
        attempt_time__gt=now - pause,
    ).order_by("attempt_time")
    counted = list(attempts.values_list("attempt_time", "failures_since_start"))
    failures = sum(count for _, count in counted)
    for made, count in counted:
        failures -= count
        if failures < settings.AXES_FAILURE_LIMIT:
            left: timedelta = made + pause - now
            return max(1, ceil(left.total_seconds()))
    return int(pause.total_seconds())
