"""Emails as a mailbox in a browser shows them, with what some mailboxes take away."""

import re
from base64 import b64encode
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, cast

from django.conf import settings
from django.utils.translation import override

from guests.models import Event
from notifications.messages import RelatedMessage
from notifications.previews import build_preview, kinds_with_samples, make_samples

LANGUAGES = tuple(code for code, _name in settings.LANGUAGES)
STYLE = re.compile(r"<style.*?</style>", re.DOTALL)
IMAGE = re.compile(r'(<img[^>]* )src="[^"]*"')


@dataclass(frozen=True)
class ExampleEmail:
    """One example of a kind in one language."""

    kind: str
    sample: str
    language: str
    message: RelatedMessage

    @property
    def name(self) -> str:
        return f"{self.kind}-{self.sample}-{self.language}"

    @property
    def html(self) -> str:
        return str(self.message.alternatives[0][0])

    @property
    def text(self) -> str:
        return str(self.message.body)

    def with_images(self) -> str:
        """Return the HTML with its inline images in it, as a mailbox shows it."""
        html = self.html
        for part in self.message.message().walk():
            if content_id := part["Content-ID"]:
                png = b64encode(cast("bytes", part.get_payload(decode=True))).decode()
                html = html.replace(f"cid:{content_id.strip('<>')}", f"data:image/png;base64,{png}")
        return html

    def without_images(self) -> str:
        return IMAGE.sub(r"\1", self.html)


def without_style(html: str) -> str:
    """Return an email as clients show it that drop `<style>`."""
    return STYLE.sub("", html)


def example_emails(
    event: Event, kinds: Sequence[str] = (), languages: Sequence[str] = LANGUAGES
) -> Iterator[ExampleEmail]:
    """Yield every example of every kind that staff can look at, in each language."""
    for kind in kinds or kinds_with_samples():
        for language in languages:
            with override(language):
                names = [sample.name for sample in make_samples(kind, event)]
            for name in names:
                message: Any = build_preview(kind, event.pk, name, language)
                yield ExampleEmail(kind, name, language, message)
