"""The admin site. Staff need a recent sign-in with a password, and a second factor."""

import logging
import time
from typing import Any

from django.conf import settings
from django.contrib.admin import AdminSite
from django.contrib.auth import REDIRECT_FIELD_NAME
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, URLResolver, path, reverse
from django.utils.decorators import method_decorator
from django.utils.http import url_has_allowed_host_and_scheme, urlencode
from django.utils.translation import gettext_lazy as _
from django.views.decorators.cache import never_cache
from django_otp import DEVICE_ID_SESSION_KEY
from django_otp import login as mark_verified

from accounts.forms import SecondFactorForm
from accounts.lockout import STAFF_SIGN_IN, count_sign_in_failure, refuse_sign_in
from accounts.models import User
from accounts.second_factor import confirm_device, device_of, enrolment_of, verify_code
from accounts.sessions import (
    SESSION_ID_KEY,
    STAFF_BROWSER_KEY,
    account_of,
    browser_data_of,
    end_session,
    ensure_browser_id,
    ensure_session_id,
)
from accounts.staff_sessions import (
    SEEN_KEY,
    SINCE_KEY,
    began_with_password,
    is_recent,
    note_request,
)
from snap.limits.policy import PAGES, STAFF, STAFF_CODE, limit_all, limited

log = logging.getLogger(__name__)


class StaffSite(AdminSite):
    site_title = site_header = "SNAP"

    def has_permission(self, request: HttpRequest) -> bool:
        if not super().has_permission(request) or not is_staff_session(request):
            return False
        return is_verified(request)

    def get_urls(self) -> list[URLPattern | URLResolver]:
        own = path("second-factor/", self.second_factor, name="second_factor")
        urls: list[URLPattern | URLResolver] = [own, *super().get_urls()]
        limit_all(urls, read=STAFF)
        return urls

    @method_decorator(limited(read=PAGES, write=STAFF_SIGN_IN))
    @method_decorator(never_cache)
    def login(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Ask for the password. After the right one redirect to the second factor."""
        if super().has_permission(request) and began_with_password(request.session):
            if not is_staff_session(request):
                end_session(request, account_of(request))
            elif not is_verified(request):
                return redirect(f"{reverse('admin:second_factor')}?{_next_query(request)}")
        if request.method == "POST" and (refused := refuse_sign_in(request)):
            return refused
        replaced = account_of(request)
        browser = ensure_browser_id(request)
        session_id = request.session.get(SESSION_ID_KEY, "")
        kept = browser_data_of(request.session)
        response = super().login(request, extra_context)
        if request.method == "POST" and response.status_code != 302:
            count_sign_in_failure(request)
        elif request.method == "POST":
            if replaced is not None and replaced.pk != request.user.pk:
                replaced.end_session(session_id, browser=browser)
            request.session.update({**kept, STAFF_BROWSER_KEY: browser})
            begin_staff_session(request)
            log.info("staff_signed_in", extra={"account_id": request.user.pk})
        return response

    def logout(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> TemplateResponse:
        """Sign out of all sessions of this account, because staff can do more than guests."""
        kept = browser_data_of(request.session)
        if request.method == "POST" and (account := account_of(request)):
            account.sign_out_everywhere()
        response = super().logout(request, extra_context)
        if request.method == "POST":
            request.session.update(kept)
        return response

    @method_decorator(limited(read=STAFF, write=STAFF_SIGN_IN))
    def password_change(  # type: ignore[override]  # a refusal is no TemplateResponse
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Change one's own password, which ends all other sessions and closes open sockets."""
        if request.method == "POST" and (refused := refuse_sign_in(request)):
            return refused
        response = super().password_change(request, extra_context)
        if request.method == "POST" and response.status_code == 302:
            User(pk=request.user.pk).close_sockets()
        return response

    @method_decorator(limited(read=STAFF, write=STAFF_CODE))
    @method_decorator(never_cache)
    def second_factor(self, request: HttpRequest) -> HttpResponse:
        """Ask for a code of the authenticator app. The first time show how to set the app up."""
        if not super().has_permission(request) or not is_staff_session(request):
            return redirect(f"{reverse('admin:login')}?{_next_query(request)}")
        account = request.user
        assert isinstance(account, User)
        device = device_of(account)
        form = SecondFactorForm(request.POST or None)
        if form.is_valid():
            typed = form.cleaned_data["code"]
            if device is None and (codes := confirm_device(account, typed)):
                mark_verified(request, device_of(account))
                return self._render(request, "backup_codes", codes=codes)
            if device and (used := verify_code(account, typed)):
                mark_verified(request, used)
                return redirect(_safe_next(request))
            log.warning("second_factor_wrong", extra={"account_id": account.pk})
            form.add_error("code", _("This code is not right, or it was used already."))
        enrolment = None if device else enrolment_of(account)
        return self._render(request, "second_factor", form=form, enrolment=enrolment)

    def _render(self, request: HttpRequest, page: str, **context: Any) -> HttpResponse:
        context |= {
            "title": _("Second step"),
            "next": _safe_next(request),
            "site_header": self.site_header,
            "site_title": self.site_title,
            "has_permission": False,
            "is_nav_sidebar_enabled": False,
        }
        return TemplateResponse(request, f"admin/{page}.html", context)


def begin_staff_session(request: HttpRequest) -> None:
    """Record the time of the sign-in, and discard the second factor of an earlier session."""
    ensure_session_id(request.session)
    request.session[SINCE_KEY] = request.session[SEEN_KEY] = int(time.time())
    request.session.pop(DEVICE_ID_SESSION_KEY, None)


def is_staff_session(request: HttpRequest) -> bool:
    """Return whether the session began with a password and has not expired."""
    if not began_with_password(request.session) or not is_recent(request.session):
        return False
    note_request(request.session)
    return True


def is_verified(request: HttpRequest) -> bool:
    """Return whether a second factor was given or is not required."""
    return not settings.STAFF_SECOND_FACTOR or bool(request.user.is_verified())  # type: ignore[union-attr]


def _safe_next(request: HttpRequest) -> str:
    wanted = request.POST.get(REDIRECT_FIELD_NAME) or request.GET.get(REDIRECT_FIELD_NAME, "")
    is_ours = url_has_allowed_host_and_scheme(
        wanted, {request.get_host()}, require_https=request.is_secure()
    )
    if not is_ours:
        return reverse("admin:index")
    return wanted


def _next_query(request: HttpRequest) -> str:
    return urlencode({REDIRECT_FIELD_NAME: _safe_next(request)})
