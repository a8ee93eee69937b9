"""Backends of mail providers, where anymail's own need an addition."""

from typing import Any

from anymail.backends.resend import EmailBackend
from django.core.mail import EmailMessage


class ResendBackend(EmailBackend):  # type: ignore[misc]  # anymail has no types
    """Resend with idempotency keys: an attempt after a lost response sends no second copy."""

    def build_message_payload(self, message: EmailMessage, defaults: dict[str, Any]) -> Any:
        payload = super().build_message_payload(message, defaults)
        payload.headers["Idempotency-Key"] = message.extra_headers["Message-ID"]
        return payload
