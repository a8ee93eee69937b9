"""The webhooks at which mail providers report what became of emails.

A report needs the shared secret, and the provider's signature. Every other request gets a 4xx,
which providers do not repeat for long. While the database is away the response is 503, and the
provider reports again.
"""

import hmac
import json
import logging
from base64 import b64encode
from collections.abc import Callable
from functools import partial
from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.urls import URLPattern, path
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST

from notifications.report_formats import PARSERS
from notifications.reports import record_reports
from notifications.signatures import (
    SignatureError,
    Verify,
    make_mailgun_verifier,
    make_resend_verifier,
    make_sendgrid_verifier,
)
from snap.environment.emails import SIGNED_WITH
from snap.environment.errors import SettingError
from snap.limits.policy import unlimited
from snap.resilience.database import guarded_database

log = logging.getLogger(__name__)

# What makes the check of signatures of each provider, from the setting in SIGNED_WITH.
VERIFIERS: dict[str, Callable[[str], Verify]] = {
    "resend": make_resend_verifier,
    "sendgrid": make_sendgrid_verifier,
    "mailgun": make_mailgun_verifier,
}

unlimited_webhook = unlimited(
    "Providers report a rush of emails in bursts, from few addresses. Without the shared secret a"
    " report is refused before its body is read and anything is looked up."
)


def webhook_paths() -> list[URLPattern]:
    """Return the paths for reports of providers, none without MAIL_WEBHOOK_SECRET.

    Raises SettingError for a key that cannot be one of its provider.
    """
    if not settings.MAIL_WEBHOOK_SECRET:
        return []
    paths = []
    for provider in reporting_providers():
        view = partial(mail_webhook, provider=provider, verify=_make_verifier(provider))
        decorated: Any = unlimited_webhook(csrf_exempt(require_POST(view)))
        paths.append(path(f"webhooks/mail/{provider}/", decorated, name=f"mail_webhook_{provider}"))
    return paths


def reporting_providers() -> list[str]:
    """Return the providers that report what became of emails.

    They are those in use, and those that still have their key: a provider that was replaced reports
    on its last emails for days.
    """
    in_use = {settings.EMAIL_PROVIDER, settings.EMAIL_FALLBACK_PROVIDER}
    with_key = {name for name, key in SIGNED_WITH.items() if settings.ANYMAIL.get(key)}
    return [provider for provider in PARSERS if provider in in_use | with_key]


def _make_verifier(provider: str) -> Verify:
    name = SIGNED_WITH[provider]
    key: Any = settings.ANYMAIL[name]
    try:
        return VERIFIERS[provider](key)
    except ValueError as error:
        raise SettingError(f"{name} is not a key with which {provider} signs reports.") from error


def mail_webhook(request: HttpRequest, provider: str, verify: Verify) -> HttpResponse:
    """Record the reports of a provider. Events that no email here has are ignored."""
    if not _has_secret(request):
        return _refuse(provider, "secret", 400)
    if request.content_type != "application/json":
        return _refuse(provider, "content_type", 415)
    try:
        # Not `request.body`, whose limit is that of forms.
        body = request.read()
        verify(request.headers, body)
        reports = PARSERS[provider](json.loads(body))
    except SignatureError:
        return _refuse(provider, "signature", 400)
    except (ValueError, RecursionError, OSError):
        return _refuse(provider, "malformed", 400)
    with guarded_database():
        record_reports(provider, reports)
    return HttpResponse(status=200)


def _has_secret(request: HttpRequest) -> bool:
    expected = b"Basic " + b64encode(settings.MAIL_WEBHOOK_SECRET.encode())
    return hmac.compare_digest(request.headers.get("Authorization", "").encode(), expected)


def _refuse(provider: str, reason: str, status: int) -> HttpResponse:
    """Refuse a request without saying what would have been right."""
    log.warning("mail_report_refused", extra={"provider": provider, "reason": reason})
    return HttpResponse("This is no report.", content_type="text/plain", status=status)
