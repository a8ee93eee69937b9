"""Emails as Django alone builds them, for comparison: rendered and encoded for each person."""

from collections.abc import Mapping
from email.mime.image import MIMEImage
from typing import Any

from django.conf import settings
from django.core.mail import EmailMultiAlternatives
from django.core.mail.message import SafeMIMEMultipart
from django.template.loader import render_to_string
from django.utils import translation

from notifications.html import inline_styles
from notifications.kinds import EmailContent
from notifications.models import Email


class PlainMessage(EmailMultiAlternatives):
    """Puts inline images beside the HTML, and files beside all of it."""

    def __init__(self, *, images: Mapping[str, bytes], **options: Any) -> None:
        super().__init__(**options)
        self.images = images

    def _create_message(self, msg: Any) -> Any:
        django: Any = self
        built = django._create_alternatives(msg)
        if self.images:
            related = SafeMIMEMultipart(_subtype="related", type="multipart/alternative")
            related.attach(built)
            for content_id, png in self.images.items():
                image = MIMEImage(png, "png")
                image["Content-ID"] = f"<{content_id}>"
                name = content_id.partition(".")[0]
                image["Content-Disposition"] = f'inline; filename="{name}.png"'
                related.attach(image)
            built = related
        return django._create_attachments(built)


def plain_message(email: Email, content: EmailContent, ids: Mapping[str, str]) -> PlainMessage:
    """Return an email that is rendered for its person alone. `ids` are those of its images."""
    values = {
        **content.context,
        **content.personal,
        "language": email.language,
        "public_url": settings.PUBLIC_URL,
        "content_ids": ids,
    }
    with translation.override(email.language):
        subject = render_to_string(f"emails/{email.kind}.subject.txt", values)
        text = render_to_string(f"emails/{email.kind}.txt", values)
        html = inline_styles(render_to_string(f"emails/{email.kind}.html", values))
    message = PlainMessage(
        images={ids[name]: png for name, png in content.inline_images.items()},
        subject=" ".join(subject.split()),
        body=text.strip() + "\n",
        from_email=settings.DEFAULT_FROM_EMAIL,
        to=[email.to],
        headers={"Auto-Submitted": "auto-generated"},
    )
    message.attach_alternative(html, "text/html")
    for attachment in content.attachments:
        message.attach(attachment.name, attachment.content, attachment.content_type)
    return message
