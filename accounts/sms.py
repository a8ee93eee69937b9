"""How a code reaches a phone without the internet: SMS, through whatever SMS_BACKEND names."""

import logging
from email.message import EmailMessage
from typing import Protocol, cast

from django.conf import settings
from django.utils.module_loading import import_string

from accounts.phones import masked_phone
from notifications.inbox import save_message

log = logging.getLogger(__name__)


class ChannelError(Exception):
    """The message was not taken: the provider is away, refuses, or needs too long."""


class Channel(Protocol):
    """What SMS_BACKEND names: an object of one method."""

    def send(self, phone: str, text: str) -> None:
        """Hand a text over for an E.164 phone, within SMS_TIMEOUT. Raises ChannelError, OSError."""


class ConsoleChannel:
    """For development: the log says that something was sent, and the inbox page shows what."""

    def send(self, phone: str, text: str) -> None:
        message = EmailMessage()
        message["Subject"] = f"SMS {masked_phone(phone)}"
        message["To"] = f"{phone.removeprefix('+')}@sms.invalid"
        message.set_content(text)
        name = save_message(message.as_bytes())
        log.info("sms_in_inbox", extra={"phone": masked_phone(phone), "inbox_name": name})


console = ConsoleChannel()


def sms() -> Channel | None:
    """Return the channel for SMS, None when there is none."""
    return cast("Channel", import_string(settings.SMS_BACKEND)) if settings.SMS_BACKEND else None
