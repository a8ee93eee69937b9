"""Backends of mail providers, where anymail's own need an addition."""

from typing import Any

from anymail.backends.mailgun import EmailBackend as AnymailMailgun
from anymail.backends.resend import EmailBackend as AnymailResend
from anymail.backends.sendgrid import EmailBackend as AnymailSendGrid
from django.core.mail import EmailMessage

from notifications.tracking import tracks_opens
from snap.resilience.http_sessions import limit_responses


class OverHTTP:
    """Limits the time of a response, and follows no redirect.

    `requests` turns a redirected POST into a GET, whose 200 is no acceptance.
    """

    def create_session(self) -> Any:
        session = super().create_session()  # type: ignore[misc]
        limit_responses(session)
        return session

    def post_to_esp(self, payload: Any, message: EmailMessage) -> Any:
        plain = payload.get_request_params

        def get_request_params(api_url: str) -> dict[str, Any]:
            return {**plain(api_url), "allow_redirects": False}

        payload.get_request_params = get_request_params
        return super().post_to_esp(payload, message)  # type: ignore[misc]


class ResendBackend(OverHTTP, AnymailResend):  # type: ignore[misc]  # anymail has no types
    """Resend with idempotency keys: an attempt after a lost response sends no second copy."""

    has_idempotency_keys = True

    def build_message_payload(self, message: EmailMessage, defaults: dict[str, Any]) -> Any:
        payload = super().build_message_payload(message, defaults)
        payload.headers["Idempotency-Key"] = message.extra_headers["Message-ID"]
        _send_metadata_as_tags(payload)
        return payload


def _send_metadata_as_tags(payload: Any) -> None:
    """Send a message's metadata as tags of Resend, which its reports repeat.

    anymail sends it as a header, which each reader of the email can see.
    """
    payload.data.get("headers", {}).pop("X-Metadata", None)
    if payload.metadata:
        payload.data["tags"] = [
            {"name": name, "value": value} for name, value in payload.metadata.items()
        ]


class TrackingByMessage:
    """Says in each message whether its opening is reported, since staff can turn that off."""

    def build_message_payload(self, message: EmailMessage, defaults: dict[str, Any]) -> Any:
        defaults = {**defaults, "track_opens": tracks_opens()}
        return super().build_message_payload(message, defaults)  # type: ignore[misc]


class SendGridBackend(TrackingByMessage, OverHTTP, AnymailSendGrid):  # type: ignore[misc]
    """SendGrid's v3 API."""


class MailgunBackend(TrackingByMessage, OverHTTP, AnymailMailgun):  # type: ignore[misc]
    """Mailgun's messages API."""
