"""From a row and its content to a message: text, HTML and inline images in the row's language."""

from email.message import EmailMessage as Message
from email.mime.image import MIMEImage
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.core.mail import EmailMultiAlternatives
from django.core.validators import validate_email
from django.template.loader import render_to_string
from django.utils import translation

from notifications.kinds import EmailContent
from notifications.models import Email


class RelatedMessage(EmailMultiAlternatives):
    """Text and HTML as alternatives, with the inline images related to them, not attached."""

    def message(self, **options: Any) -> Message:
        message = super().message(**options)
        if self.attachments:
            message.set_type("multipart/related")
            message.set_param("type", "multipart/alternative")
        return message


def make_message(email: Email, content: EmailContent) -> RelatedMessage:
    """Render an email. Raise ValidationError when its address is not one single address."""
    validate_email(email.to)
    context = {
        **content.context,
        "language": email.language,
        "public_url": settings.PUBLIC_URL,
    }
    with translation.override(email.language):
        subject, text, html = (
            render_to_string(f"emails/{email.kind}.{part}", context)
            for part in ("subject.txt", "txt", "html")
        )
    message = RelatedMessage(
        subject=" ".join(subject.split()),
        body=text.strip() + "\n",
        from_email=settings.EMAIL_SENDERS.get(email.kind, settings.DEFAULT_FROM_EMAIL),
        to=[email.to],
        headers={"Message-ID": message_id(email), "Auto-Submitted": "auto-generated"},
    )
    message.attach_alternative(html, "text/html")
    for name, png in content.inline_images.items():
        message.attach(_inline_image(name, png))
    return message


def message_id(email: Email) -> str:
    """Name what is sent: the same for every try, so that a second copy is recognisable as one.

    The time of queueing makes it new when staff send an email again, and in a database set up anew.
    """
    host = urlsplit(settings.PUBLIC_URL).hostname
    return f"<email.{email.pk}.{email.queued_at.timestamp():.0f}@{host}>"


def _inline_image(name: str, png: bytes) -> MIMEImage:
    image = MIMEImage(png, "png")
    image["Content-ID"] = f"<{name}@snap>"
    image["Content-Disposition"] = f'inline; filename="{name}.png"'
    return image
