"""Reports of mail providers about the emails they accepted: delivered, opened, bounced.

A report only moves an email forward, so a report that comes twice, late or out of order changes
nothing. anymail authenticates a report by the shared secret, and by the provider's signature if it
has one.
"""

import logging
from importlib import import_module
from typing import Any

from anymail.signals import AnymailTrackingEvent, EventType, tracking
from django.conf import settings
from django.dispatch import receiver
from django.urls import URLPattern, path

from notifications.models import Email
from snap.limits.policy import unlimited

log = logging.getLogger(__name__)

TRACKING_VIEWS = {
    "resend": "ResendTrackingWebhookView",
    "sendgrid": "SendGridTrackingWebhookView",
    "mailgun": "MailgunTrackingWebhookView",
}

SENT, DELIVERED, OPENED = Email.State.SENT, Email.State.DELIVERED, Email.State.OPENED
# The new state of an email for each report, and the states that can change to it.
TRANSITIONS = {
    EventType.DELIVERED: (DELIVERED, [SENT]),
    EventType.OPENED: (OPENED, [SENT, DELIVERED]),
    EventType.CLICKED: (OPENED, [SENT, DELIVERED]),
    EventType.BOUNCED: (Email.State.BOUNCED, [SENT, DELIVERED]),
    EventType.REJECTED: (Email.State.BOUNCED, [SENT, DELIVERED]),
}


unlimited_webhook = unlimited(
    "Providers report a rush of emails in bursts, from few addresses. Without the shared secret a"
    " report is refused before anything is looked up."
)


def webhook_paths() -> list[URLPattern]:
    """Return the path for reports of EMAIL_PROVIDER, none without MAIL_WEBHOOK_SECRET."""
    provider = settings.EMAIL_PROVIDER
    if provider not in TRACKING_VIEWS or not settings.MAIL_WEBHOOK_SECRET:
        return []
    view: Any = getattr(import_module(f"anymail.webhooks.{provider}"), TRACKING_VIEWS[provider])
    return [
        path(f"webhooks/mail/{provider}/", unlimited_webhook(view.as_view()), name="mail_webhook")
    ]


@receiver(tracking)
def record_report(
    sender: object, event: AnymailTrackingEvent, esp_name: str, **kwargs: object
) -> None:
    """Update the state of the reported email, if its message id is known."""
    if event.event_type not in TRANSITIONS or not event.message_id:
        return
    state, from_states = TRANSITIONS[event.event_type]
    reported = Email.objects.filter(provider_id=event.message_id, state__in=from_states)
    if state == Email.State.BOUNCED:
        error = f"{event.event_type} {event.reject_reason or ''}".strip()
        moved = reported.update(state=state, error=error)
    else:
        moved = reported.update(state=state)
    log.info("email_reported", extra={"state": state, "emails": moved, "provider": esp_name})
