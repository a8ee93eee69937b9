"""Render emails: text, HTML and inline images, in the language of their rows."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from email.message import EmailMessage as Message
from email.mime.image import MIMEImage
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.mail import EmailMultiAlternatives
from django.core.validators import validate_email
from django.db import InterfaceError, OperationalError
from django.template.loader import render_to_string
from django.utils import translation

from notifications.html import inline_styles
from notifications.kinds import EmailContent, build_contents
from notifications.models import Email
from snap.mail_addresses import ascii_address, ascii_domain, is_same_address

# Errors of a server that is away. They are about no email.
OUTAGES = (InterfaceError, OperationalError, ConnectionError, TimeoutError)


class RelatedMessage(EmailMultiAlternatives):
    """A message whose images are inline parts of its HTML (multipart/related), not attachments."""

    def message(self, **options: Any) -> Message:
        message = super().message(**options)
        if self.attachments:
            message.set_type("multipart/related")
            message.set_param("type", "multipart/alternative")
        return message


def build_messages(emails: Sequence[Email]) -> dict[int, RelatedMessage | Exception | None]:
    """Return the message of each email by primary key.

    None stands for an email that is no longer wanted, an exception for one that cannot be built.
    The emails of one kind and language take as many queries as one of them. Raises nothing.
    """
    groups = defaultdict(list)
    for email in emails:
        groups[email.kind, email.language].append(email)
    built: dict[int, RelatedMessage | Exception | None] = {}
    for (kind, language), group in groups.items():
        with translation.override(language):
            contents = _build_contents(kind, [email.cause for email in group])
            for email in group:
                built[email.pk] = _build_message(email, contents.get(email.cause))
    return built


def _build_contents(kind: str, causes: Sequence[str]) -> Mapping[str, EmailContent | Exception]:
    """Return the contents of emails of one kind by cause, or the error of those that have one."""
    try:
        return build_contents(kind, causes)
    except OUTAGES as error:
        return dict.fromkeys(causes, error)
    except Exception as error:  # noqa: BLE001 (one bad email must not block the others)
        if len(causes) == 1:
            return {causes[0]: error}
    contents: dict[str, EmailContent | Exception] = {}
    for cause in causes:
        contents.update(_build_contents(kind, [cause]))
    return contents


def _build_message(
    email: Email, content: EmailContent | Exception | None
) -> RelatedMessage | Exception | None:
    if content is None or isinstance(content, Exception):
        return content
    if content.only_to and not is_same_address(content.only_to, email.to):
        return None
    try:
        return make_message(email, content)
    except Exception as error:  # noqa: BLE001 (one bad email must not block the others)
        return error


def make_message(email: Email, content: EmailContent) -> RelatedMessage:
    """Render an email. Raises ValidationError when `email.to` is not exactly one address.

    All addresses are in ASCII. Django would encode a domain by IDNA 2003, which leads to others.
    """
    to = _recipient(email.to)
    context = {
        **content.context,
        **content.personal,
        "language": email.language,
        "public_url": settings.PUBLIC_URL,
        "content_ids": {name: content_id(email, name) for name in content.inline_images},
    }
    with translation.override(email.language):
        subject = render_to_string(f"emails/{email.kind}.subject.txt", context)
        text = render_to_string(f"emails/{email.kind}.txt", context)
        html = inline_styles(render_to_string(f"emails/{email.kind}.html", context))
    message = RelatedMessage(
        subject=" ".join(subject.split()),
        body=text.strip() + "\n",
        from_email=ascii_address(
            settings.EMAIL_SENDERS.get(email.kind, settings.DEFAULT_FROM_EMAIL)
        ),
        to=[to],
        headers={"Message-ID": message_id(email), "Auto-Submitted": "auto-generated"},
    )
    message.attach_alternative(html, "text/html")
    for name, png in content.inline_images.items():
        message.attach(_inline_image(name, content_id(email, name), png))
    for attachment in content.attachments:
        message.attach(attachment.name, attachment.content, attachment.content_type)
    return message


def _recipient(stored: str) -> str:
    try:
        address = ascii_address(stored)
    except UnicodeError as error:
        raise ValidationError("the domain has no form in ASCII") from error
    validate_email(address)
    return address


def message_id(email: Email) -> str:
    """Return the Message-ID, the same for every attempt: providers and mailboxes know duplicates.

    It contains the time of queueing, so an email that staff send again has another one, and so have
    the emails of a new database.
    """
    return f"<{_unique_part(email)}>"


def content_id(email: Email, name: str) -> str:
    """Return the Content-ID of an inline image, without brackets. No other message has it.

    Some mailboxes show the image of the first message they know by an id. It is the same for every
    attempt, since providers compare the contents of attempts.
    """
    return f"{name}.{_unique_part(email)}"


def _unique_part(email: Email) -> str:
    host = ascii_domain(urlsplit(settings.PUBLIC_URL).hostname or "")
    # The colons of an IPv6 address are not allowed there.
    host = host.replace(":", "-")
    return f"email.{email.pk}.{email.queued_at.timestamp():.0f}@{host}"


def _inline_image(name: str, its_content_id: str, png: bytes) -> MIMEImage:
    image = MIMEImage(png, "png")
    image["Content-ID"] = f"<{its_content_id}>"
    image["Content-Disposition"] = f'inline; filename="{name}.png"'
    return image
