"""Build the messages of emails: text, HTML, inline images and attachments, in their languages."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from email import message_from_bytes
from email.message import EmailMessage as Message
from email.policy import SMTP
from email.utils import formatdate
from functools import cached_property, lru_cache
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.mail import EmailMultiAlternatives
from django.core.validators import validate_email
from django.db import InterfaceError, OperationalError
from django.utils import translation

from notifications.kinds import EmailContent, build_contents, bulk_kinds
from notifications.mime import (
    FilePart,
    disposition,
    encode_fields,
    encode_file,
    encode_text_field,
    multipart,
)
from notifications.models import Email
from notifications.references import REFERENCE_KEY, Reference
from notifications.skeletons import Filled, Skeleton, content_id_gap, find_skeleton
from notifications.suppressions import UNSUBSCRIBED, UnsubscribedError, suppressed_emails
from notifications.unsubscribing import unsubscribe_headers, unsubscribe_url
from snap.mail_addresses import ascii_address, ascii_domain, is_same_address

# Errors of a server that is away. They are about no email.
OUTAGES = (InterfaceError, OperationalError, ConnectionError, TimeoutError)


class RelatedMessage(EmailMultiAlternatives):
    """A message that SMTP gets as bytes in which most was encoded before.

    Providers with an API read subject, body, alternatives and attachments. The text and the HTML in
    the bytes, and the attachments, do not follow later changes of these; all headers do.
    They return its `metadata` in their reports.
    """

    metadata: dict[str, str]

    def __init__(self, filled: Filled, files: Sequence[FilePart], **options: Any) -> None:
        super().__init__(filled.subject, filled.text, **options)
        self.attach_alternative(filled.html, "text/html")
        self.encoded_body = filled.body
        self._files = files
        # Most messages go by SMTP, which does not need these objects.
        del self.attachments

    @cached_property
    def attachments(self) -> list[Any]:  # type: ignore[override]
        return [file.to_mime() for file in self._files]

    def to_bytes(self) -> bytes:
        """Return the message for SMTP: ASCII, with CRLF at the end of each line.

        An inline image belongs to the HTML (multipart/related), an attachment to the message.
        """
        entity = self.encoded_body
        inline = [file.to_bytes() for file in self._files if file.content_id]
        if inline:
            related = ';\r\n type="multipart/alternative"'
            entity = multipart("related", [entity, *inline], parameters=related)
        attached = [file.to_bytes() for file in self._files if not file.content_id]
        if attached:
            entity = multipart("mixed", [entity, *attached])
        return self._fields() + entity

    def _fields(self) -> bytes:
        before = {"From": self.from_email, "To": ", ".join(self.to)}
        after = {"Date": formatdate(), **self.extra_headers, "MIME-Version": "1.0"}
        subject = encode_text_field("Subject", str(self.subject))
        return encode_fields(before) + subject + encode_fields(after)

    def message(self, **options: Any) -> Message:
        return message_from_bytes(self.to_bytes(), policy=SMTP)


def build_messages(emails: Sequence[Email]) -> dict[int, RelatedMessage | Exception | None]:
    """Return the message of each email by primary key.

    None stands for an email that is no longer wanted, UnsubscribedError for a bulk email to a
    mailbox that gets none, and another exception for an email that cannot be built.
    The emails of a kind and language take as many queries as one of them. Raises nothing.
    """
    groups = defaultdict(list)
    built: dict[int, RelatedMessage | Exception | None] = {**_suppressed(emails)}
    for email in emails:
        if email.pk not in built:
            groups[email.kind, email.language].append(email)
    for (kind, language), group in groups.items():
        with translation.override(language):
            contents = _build_contents(kind, [email.cause for email in group])
            batch = _Batch(kind)
            for email in group:
                built[email.pk] = batch.build(email, contents.get(email.cause))
    return built


def _suppressed(emails: Sequence[Email]) -> dict[int, Exception]:
    """Return the errors of the bulk emails that are not sent. One query if there are any."""
    try:
        return {pk: UnsubscribedError(UNSUBSCRIBED) for pk in suppressed_emails(emails)}
    except OUTAGES as error:
        kinds = set(bulk_kinds())
        return {email.pk: error for email in emails if email.kind in kinds}


def make_message(email: Email, content: EmailContent) -> RelatedMessage:
    """Return the message of one email. Raises ValidationError, as `_Batch.make` does."""
    with translation.override(email.language):
        return _Batch(email.kind).make(email, content)


def _build_contents(kind: str, causes: Sequence[str]) -> Mapping[str, EmailContent | Exception]:
    """Return the contents of emails of one kind by cause, or the errors of those that have one."""
    try:
        return build_contents(kind, causes)
    except OUTAGES as error:
        return dict.fromkeys(causes, error)
    except Exception as error:  # noqa: BLE001 (one bad email must not block the others)
        if len(causes) == 1:
            return {causes[0]: error}
    # The causes are tried one by one, to find the bad one.
    contents: dict[str, EmailContent | Exception] = {}
    for cause in causes:
        contents.update(_build_contents(kind, [cause]))
    return contents


class _Batch:
    """Builds messages of one kind in the active language. What they share is made once."""

    def __init__(self, kind: str) -> None:
        self._kind = kind
        self._is_bulk = kind in bulk_kinds()
        sender = settings.EMAIL_SENDERS.get(kind, settings.DEFAULT_FROM_EMAIL)
        self._sender = ascii_address(sender)
        self._reply_to = ascii_address(settings.EMAIL_REPLY_TO)
        # By the identity of a context, which is in `_contexts` so that it keeps it.
        self._skeletons: dict[tuple[int, tuple[str, ...]], Skeleton] = {}
        self._contexts: list[Mapping[str, Any]] = []
        self._files: dict[bytes, bytes] = {}

    def build(
        self, email: Email, content: EmailContent | Exception | None
    ) -> RelatedMessage | Exception | None:
        """Return what `build_messages` returns for an email."""
        if content is None or isinstance(content, Exception):
            return content
        if content.only_to and not is_same_address(content.only_to, email.to):
            return None
        try:
            return self.make(email, content)
        except Exception as error:  # noqa: BLE001 (one bad email must not block the others)
            return error

    def make(self, email: Email, content: EmailContent) -> RelatedMessage:
        """Return the message. Raises ValidationError when `email.to` is not exactly one address.

        All addresses are in ASCII. Django would encode a domain by IDNA 2003, which leads to
        others.
        """
        to = _recipient(email.to)
        gaps = dict(content.personal)
        files = []
        for name, png in content.inline_images.items():
            gaps[content_id_gap(name)] = content_id(email, name)
            shown = disposition("inline", f"{name}.png")
            files.append(
                FilePart("image/png", shown, self._encoded(png), gaps[content_id_gap(name)])
            )
        for attachment in content.attachments:
            attached = disposition("attachment", attachment.name)
            encoded = self._encoded(attachment.content)
            files.append(FilePart(attachment.content_type, attached, encoded))
        headers = {"Message-ID": message_id(email), "Auto-Submitted": "auto-generated"}
        if self._reply_to:
            headers["Reply-To"] = self._reply_to
        if self._is_bulk:
            gaps["unsubscribe_url"] = unsubscribe_url(email)
            headers |= unsubscribe_headers(email)
        filled = self._skeleton(content.context, tuple(gaps)).fill(gaps)
        message = RelatedMessage(filled, files, from_email=self._sender, to=[to], headers=headers)
        message.metadata = {REFERENCE_KEY: str(Reference.of(email.pk, email.queued_at))}
        return message

    def _skeleton(self, context: Mapping[str, Any], gaps: tuple[str, ...]) -> Skeleton:
        skeleton = self._skeletons.get((id(context), gaps))
        if skeleton is None:
            skeleton = find_skeleton(self._kind, context, gaps)
            self._skeletons[id(context), gaps] = skeleton
            self._contexts.append(context)
        return skeleton

    def _encoded(self, file: bytes) -> bytes:
        encoded = self._files.get(file)
        if encoded is None:
            encoded = self._files[file] = encode_file(file)
        return encoded


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
    host = _host(settings.PUBLIC_URL)
    return f"email.{email.pk}.{email.queued_at.timestamp():.0f}@{host}"


@lru_cache(maxsize=4)
def _host(public_url: str) -> str:
    """Return the host of a URL for a message id."""
    host = ascii_domain(urlsplit(public_url).hostname or "")
    # The colons of an IPv6 address are not allowed there.
    return host.replace(":", "-")
