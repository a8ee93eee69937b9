"""The registry of the kinds of email. The kinds are in accounts/emails.py and guests/emails.py.

An app registers a function for each kind that it sends. The function builds the content from the
cause (`"guest:17"`) when the email is sent. So the queue holds no personal data but the address,
and no content that is out of date.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from django.utils.functional import Promise


@dataclass(frozen=True)
class EmailContent:
    """The content of one email: the context of its templates, and its inline images.

    Images are PNGs by name; the HTML refers to them as `cid:{{ content_ids.<name> }}`. `only_to` is
    the address that a link in the content proves: an email that is queued for another address is
    not sent.
    """

    context: dict[str, Any]
    inline_images: dict[str, bytes] = field(default_factory=dict)
    only_to: str = ""


Builder = Callable[[str], EmailContent | None]

_builders: dict[str, Builder] = {}
_labels: dict[str, Promise] = {}


def email_kind(kind: str, label: Promise | None = None) -> Callable[[Builder], Builder]:
    """Register a function that builds the content of a kind of email from its cause.

    It returns None when the email is no longer wanted; the email is cancelled then. Staff read the
    `label`.
    """

    def register(builder: Builder) -> Builder:
        if kind in _builders:
            raise ValueError(f"The kind of email {kind!r} is registered twice.")
        _builders[kind] = builder
        if label is not None:
            _labels[kind] = label
        return builder

    return register


def known_kinds() -> list[str]:
    return sorted(_builders)


def kind_label(kind: str) -> str:
    """Return what staff call a kind of email."""
    label = _labels.get(kind)
    if label is None:
        return kind.replace("_", " ")
    return str(label)


def require_known(kind: str) -> None:
    """Raise LookupError for a kind that no app has registered."""
    if kind not in _builders:
        raise LookupError(f"No app has registered the kind of email {kind!r}.")


def build_content(kind: str, cause: str) -> EmailContent | None:
    return _builders[kind](cause)
