"""The page that says what SNAP stores about a guest, for how long, and whom to ask."""

from email.utils import parseaddr

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from notifications.tracking import tracks_opens
from promo.emergency import emergency_fallback
from snap.limits.policy import PAGES, limited

ONE_DAY, ONE_MINUTE = 24 * 60 * 60, 60  # seconds


def render_privacy(request: HttpRequest) -> HttpResponse:
    """Show the page. Its numbers are the settings, so it says what happens."""
    context = {
        "controller": settings.PRIVACY_CONTROLLER,
        "contact": parseaddr(settings.PRIVACY_CONTACT)[1],
        "open_tracking": tracks_opens(),
        "session_days": settings.SESSION_COOKIE_AGE // ONE_DAY,
        "code_minutes": settings.LOGIN_CODE_AGE // ONE_MINUTE,
        "suspicious_days": settings.SUSPICIOUS_DAYS,
    }
    return render(request, "promo/privacy.html", context)


@limited(read=PAGES)
@require_safe
@emergency_fallback(render_privacy)
def privacy(request: HttpRequest) -> HttpResponse:
    return render_privacy(request)
