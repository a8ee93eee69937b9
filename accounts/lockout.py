"""Limits for wrong passwords of staff, on top of django-axes.

django-axes counts failures by phone and address together, so no stranger can lock a colleague out
from another address. It stores and logs only a hash of the phone. An address that tries many phones
is limited as well. A browser in which staff have signed in with the right password has its own
limits, so strangers behind its address cannot lock it out.
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
from snap.limits.counters import acquire, block_for
from snap.limits.layers import DistinctLimit
from snap.limits.policy import Policy


def staff_browser_key(request: HttpRequest) -> str:
    """Return the budget key of a browser in which staff have signed in before, or ""."""
    browser = staff_browser(request)
    if not browser:
        return ""
    return f"browser {browser}"


STAFF_SIGN_IN = Policy(owner=staff_browser_key, layer="staff_sign_in", limit="LIMIT_SIGN_IN")


class StaffAxesHandler(AxesDatabaseHandler):  # type: ignore[misc]  # it has no types
    """Runs axes for passwords only. Guests, who use codes, sign in and out without its queries."""

    def user_logged_in(self, sender: Any, request: HttpRequest, user: Any, **kwargs: Any) -> None:
        if request.session[BACKEND_SESSION_KEY] != BACKEND:
            super().user_logged_in(sender, request, user, **kwargs)

    def user_logged_out(self, sender: Any, request: HttpRequest, user: Any, **kwargs: Any) -> None:
        """Do nothing: axes would run a query."""


def username_hash(request: HttpRequest, credentials: dict[str, Any] | None) -> str:
    """Return a hash of the phone in a sign-in form, the same for all spellings of one phone."""
    given = request.POST if credentials is None else credentials
    typed = str(given.get("username") or "")
    try:
        typed = parse_phone(typed, settings.DEFAULT_COUNTRY)
    except PhoneError:
        typed = typed.strip().casefold()
    return hash_personal(typed)


def describe_client(
    username: str, ip_address: str, user_agent: str, path_info: str, request: HttpRequest
) -> str:
    """Return the client in a log line of axes. A username that is no hash yet is hashed."""
    is_hash = len(username or "") == 32 and username.isalnum()
    if not is_hash:
        username = username_hash(request, None)
    return f"staff_hash={username} address={ip_address}"


def render_locked_out(
    request: HttpRequest, response: HttpResponse | None, credentials: dict[str, Any] | None
) -> HttpResponse:
    return locked_out(request, _seconds_until_retry(request, credentials))


def refuse_sign_in(request: HttpRequest) -> HttpResponse | None:
    """Return a 429 for an address that has failed with many phones, or None.

    Call this before a password is hashed. A browser of staff is blocked only for its own failures.
    One query, or one round trip to Redis. The view's policy STAFF_SIGN_IN limits how often an
    address or browser may try at all.
    """
    address = client_address(request)
    browser = staff_browser(request)
    if browser:
        wait = acquire([], [_failures_block(browser)]).blocked_for
    else:
        wait = _seconds_blocked(address)
    if not wait:
        return None
    note_suspicious("password_spray", address=address)
    return locked_out(request, wait)


def count_sign_in_failure(request: HttpRequest) -> None:
    """Count a wrong password in a browser of staff. Block it at STAFF_SIGN_IN_FAILURES."""
    browser = staff_browser(request)
    if not browser:
        return
    failure = secrets.token_hex(8)
    limit = DistinctLimit("staff_failures", browser, settings.STAFF_SIGN_IN_FAILURES, failure)
    decision = acquire([], [], [limit])
    if decision.statuses[0].remaining == 0:
        block_for(_failures_block(browser), int(settings.AXES_COOLOFF_TIME.total_seconds()))


def _failures_block(browser: str) -> str:
    return f"staff failures of {browser}"


def _seconds_blocked(address: str) -> int:
    """Return the seconds for which an address that failed with many phones is blocked, or 0.

    It may try again when its first failure is as old as AXES_COOLOFF_TIME.
    """
    pause, now = settings.AXES_COOLOFF_TIME, timezone.now()
    recent = AccessAttempt.objects.filter(ip_address=address, attempt_time__gt=now - pause)
    failures = recent.aggregate(number=Sum("failures_since_start"), first=Min("attempt_time"))
    if (failures["number"] or 0) < settings.STAFF_SIGN_IN_FAILURES:
        return 0
    blocked_until = failures["first"] + pause
    return max(1, int((blocked_until - now).total_seconds()))


def _seconds_until_retry(request: HttpRequest, credentials: dict[str, Any] | None) -> int:
    """Return the seconds until enough failures have expired for another try. One query."""
    now, pause = timezone.now(), settings.AXES_COOLOFF_TIME
    attempts = AccessAttempt.objects.filter(
        username=username_hash(request, credentials),
        ip_address=client_address(request),
        attempt_time__gt=now - pause,
    ).order_by("attempt_time")
    counted = list(attempts.values_list("attempt_time", "failures_since_start"))
    failures = sum(count for _, count in counted)
    for failed_at, count in counted:
        failures -= count
        if failures < settings.AXES_FAILURE_LIMIT:
            left: timedelta = failed_at + pause - now
            return max(1, ceil(left.total_seconds()))
    return int(pause.total_seconds())
