"""Sends codes by SMS, through the channel in SMS_BACKEND."""

import logging
from email.message import EmailMessage
from typing import Protocol, cast

from django.conf import settings
from django.utils.module_loading import import_string

from accounts.phones import masked_phone, may_receive_sms
from notifications.inbox import save_message
from snap.environment.errors import SettingError

log = logging.getLogger(__name__)


class ChannelError(Exception):
    """The channel did not accept the message: its provider is away, refuses, or is too slow."""


class Channel(Protocol):
    """The interface of the object that SMS_BACKEND names."""

    def send(self, phone: str, text: str) -> None:
        """Send a text to an E.164 phone within two seconds: a visitor waits for it.

        Raises ChannelError or OSError.
        """


class ConsoleChannel:
    """A channel for development. The inbox page shows the message, and the log names it."""

    def send(self, phone: str, text: str) -> None:
        message = EmailMessage()
        message["Subject"] = f"SMS {masked_phone(phone)}"
        message["To"] = f"{phone.removeprefix('+')}@sms.invalid"
        message.set_content(text)
        name = save_message(message.as_bytes())
        log.info("sms_in_inbox", extra={"phone": masked_phone(phone), "inbox_name": name})


console = ConsoleChannel()


def require_channel() -> None:
    """Raise SettingError if SMS_BACKEND names no object with a method `send`."""
    try:
        channel = sms_channel()
    except (ImportError, ValueError):
        raise SettingError(
            "SMS_BACKEND names an object that cannot be imported; it must be a dotted path such as"
            " accounts.sms.console."
        ) from None
    if channel is not None and not callable(getattr(channel, "send", None)):
        raise SettingError("SMS_BACKEND names an object without a method send(phone, text).")


def sms_channel() -> Channel | None:
    """Return the SMS channel, or None if SMS_BACKEND is empty."""
    if not settings.SMS_BACKEND:
        return None
    return cast("Channel", import_string(settings.SMS_BACKEND))


def sms_channel_to(phone: str) -> Channel | None:
    """Return the SMS channel for an E.164 phone, or None for a landline, which gets no SMS."""
    channel = sms_channel()
    if channel is None or not may_receive_sms(phone):
        return None
    return channel
