from typing import Any

from anymail.backends.resend import EmailBackend
from django.core.mail import EmailMessage


class ResendBackend(EmailBackend):  # type: ignore[misc]  # anymail has no types
    """Resend with its idempotency key: a try after a lost answer does not send a second copy."""

    def build_message_payload(self, message: EmailMessage, defaults: dict[str, Any]) -> Any:
        payload = super().build_message_payload(message, defaults)
        payload.headers["Idempotency-Key"] = message.extra_headers["Message-ID"]
        return payload
