"""What mail providers report of emails they took: delivered, opened, bounced.

A report only ever moves an email on, so one that comes twice, late or out of order changes nothing.
Who may report is anymail's business: the shared secret, and the provider's signature if any.
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

VIEWS = {
    "resend": "ResendTrackingWebhookView",
    "sendgrid": "SendGridTrackingWebhookView",
    "mailgun": "MailgunTrackingWebhookView",
}

SENT, DELIVERED, OPENED = Email.State.SENT, Email.State.DELIVERED, Email.State.OPENED
# What a report makes of an email, and from which states.
MOVES = {
    EventType.DELIVERED: (DELIVERED, [SENT]),
    EventType.OPENED: (OPENED, [SENT, DELIVERED]),
    EventType.CLICKED: (OPENED, [SENT, DELIVERED]),
    EventType.BOUNCED: (Email.State.BOUNCED, [SENT, DELIVERED]),
    EventType.REJECTED: (Email.State.BOUNCED, [SENT, DELIVERED]),
}


accept = unlimited(
    "Providers report a rush of emails in bursts, from few addresses. Without the shared secret a"
    " report is refused before anything is looked up."
)


def webhook_paths() -> list[URLPattern]:
    """Return the one address for the chosen provider's reports; none without a shared secret."""
    provider = settings.EMAIL_PROVIDER
    if provider not in VIEWS or not settings.MAIL_WEBHOOK_SECRET:
        return []
    view: Any = getattr(import_module(f"anymail.webhooks.{provider}"), VIEWS[provider])
    return [path(f"webhooks/mail/{provider}/", accept(view.as_view()), name="mail_webhook")]


@receiver(tracking)
def note_report(
    sender: object, event: AnymailTrackingEvent, esp_name: str, **kwargs: object
) -> None:
    """Move the email on that a provider reports about, if it knows that email."""
    if event.event_type not in MOVES or not event.message_id:
        return
    state, from_states = MOVES[event.event_type]
    reported = Email.objects.filter(provider_id=event.message_id, state__in=from_states)
    error = f"{event.event_type} {event.reject_reason or ''}".strip()
    changes = {"error": error} if state == Email.State.BOUNCED else {}
    moved = reported.update(state=state, **changes)
    log.info("email_reported", extra={"state": state, "emails": moved, "provider": esp_name})
