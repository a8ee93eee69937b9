"""The registry of the kinds of email. The kinds are in accounts/emails.py and guests/emails.py.

An app registers a function for each kind that it sends. The function builds the content from the
cause (`"guest:17"`) when the email is sent. So the queue holds no personal data but the address,
and no content that is out of date.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.utils.functional import Promise
from django.utils.text import capfirst, format_lazy
from django.utils.translation import gettext_lazy as _

from snap.control.modes import is_emergency
from snap.control.switches import EMAILS, is_on, register_switch


@dataclass(frozen=True)
class Attachment:
    """A file of an email. `content_type` may have parameters: `text/calendar; method=CANCEL`."""

    name: str
    content: bytes
    content_type: str


@dataclass(frozen=True)
class EmailContent:
    """The content of one email: what its templates show, its inline images and its attachments.

    `context` has the values that many emails of a batch have in common, of its event for example.
    Templates may test them. `personal` has the texts of one person; templates only print them.
    Images are PNGs by name; the HTML refers to them as `cid:{{ content_ids.<name> }}`. `only_to` is
    the address that a link in the content proves: an email that is queued for another address is
    not sent.
    """

    context: Mapping[str, Any]
    personal: Mapping[str, str] = field(default_factory=dict)
    inline_images: Mapping[str, bytes] = field(default_factory=dict)
    attachments: Sequence[Attachment] = ()
    only_to: str = ""


# Takes causes of one kind, and returns the content of each email that is still wanted.
Builder = Callable[[Sequence[str]], Mapping[str, EmailContent]]


@dataclass(frozen=True)
class _Kind:
    build: Builder
    label: Promise | None
    is_bulk: bool
    is_code: bool


# Examples for staff, of any kind, have causes of this prefix, and a builder of their own.
PREVIEW_PREFIX = "preview:"
PreviewBuilder = Callable[[str, Sequence[str]], Mapping[str, EmailContent]]

_kinds: dict[str, _Kind] = {}
_build_previews: PreviewBuilder | None = None


# What happens while the switch of a kind is off.
WAITS = _(
    "These emails wait in the queue. When this is on again they go out, but for those that nobody"
    " wants by then."
)


def email_kind(
    kind: str,
    label: Promise | None = None,
    *,
    is_bulk: bool = False,
    is_code: bool = False,
    when_off: Promise = WAITS,
) -> Callable[[Builder], Builder]:
    """Register a function that builds the contents of a kind of email from their causes.

    It builds a batch at once, in as many queries as for one. It leaves out the causes whose email
    is no longer wanted; these are cancelled then. Staff read the `label`. `is_bulk` marks kinds
    that nobody asked for one by one, such as reminders: their emails can be unsubscribed from.
    `is_code` marks kinds that people wait for: they are queued in the fast lane, and emergency mode
    does not postpone them. Each kind has a switch; `when_off` tells staff what happens while it is
    off.
    """

    def register(builder: Builder) -> Builder:
        if kind in _kinds:
            raise ValueError(f"The kind of email {kind!r} is registered twice.")
        _kinds[kind] = _Kind(builder, label, is_bulk, is_code)
        register_switch(
            EMAILS + kind,
            format_lazy(_("Emails: {kind}"), kind=label or kind.replace("_", " ")),
            when_off,
        )
        return builder

    return register


def register_preview_builder(build: PreviewBuilder) -> None:
    """Register the function that builds the examples of a kind from causes `preview:…`."""
    global _build_previews
    _build_previews = build


def known_kinds() -> list[str]:
    return sorted(_kinds)


def is_paused(kind: str) -> bool:
    """Return whether staff have turned this kind off: its emails wait."""
    return not is_on(EMAILS + kind)


def is_late(kind: str) -> bool:
    """Return whether emails of this kind do not go out at once now.

    Staff have turned the kind off, or emergency mode postpones it.
    """
    known = _kinds.get(kind)
    return is_paused(kind) or (is_emergency() and not (known and known.is_code))


def paused_kinds() -> list[str]:
    return [kind for kind in known_kinds() if is_paused(kind)]


def kinds_to_send() -> list[str]:
    """Return the kinds that this process knows and that are not paused."""
    return [kind for kind in known_kinds() if not is_paused(kind)]


def bulk_kinds() -> list[str]:
    """Return the kinds that a person can unsubscribe from."""
    return sorted(name for name, kind in _kinds.items() if kind.is_bulk)


def kind_label(kind: str) -> str:
    """Return what staff call a kind of email."""
    known = _kinds.get(kind)
    if known is None or known.label is None:
        return kind.replace("_", " ")
    return capfirst(str(known.label))


def require_known(kind: str) -> None:
    """Raise LookupError for a kind that no app has registered."""
    if kind not in _kinds:
        raise LookupError(f"No app has registered the kind of email {kind!r}.")


def build_contents(kind: str, causes: Sequence[str]) -> Mapping[str, EmailContent]:
    """Return the contents of emails of one kind by cause, without those no longer wanted.

    They are in the active language.
    """
    previews = [cause for cause in causes if cause.startswith(PREVIEW_PREFIX)]
    if not previews or _build_previews is None:
        return _kinds[kind].build(causes)
    own = [cause for cause in causes if not cause.startswith(PREVIEW_PREFIX)]
    contents = dict(_build_previews(kind, previews))
    if own:
        contents.update(_kinds[kind].build(own))
    return contents


def build_content(kind: str, cause: str) -> EmailContent | None:
    """Return the content of one email, or None when it is no longer wanted."""
    return build_contents(kind, [cause]).get(cause)
