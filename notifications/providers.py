"""Backends of mail providers, where anymail's own need an addition."""

from typing import Any

from anymail.backends.resend import EmailBackend
from django.core.mail import EmailMessage


class ResendBackend(EmailBackend):  # type: ignore[misc]  # anymail has no types
    """Resend with idempotency keys: an attempt after a lost response sends no second copy."""

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
