"""The kinds of email there are, and who knows what goes into each.

An app registers a function for each kind it sends. The function gets the cause (`"guest:17"`) and
runs when the email is sent, so nothing personal waits in the queue and nothing in it can be stale.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class EmailContent:
    """What the templates of a kind show; images are PNGs, shown in HTML as `cid:<name>@snap`.

    `only_to` is set when the content holds a link that proves an address: an email queued for
    another address is not sent.
    """

    context: dict[str, Any]
    inline_images: dict[str, bytes] = field(default_factory=dict)
    only_to: str = ""


Builder = Callable[[str], EmailContent | None]

_builders: dict[str, Builder] = {}


def email_kind(kind: str) -> Callable[[Builder], Builder]:
    """Register the function that gathers an email's content from its cause.

    It returns None when the email is no longer wanted, which cancels it.
    """

    def register(builder: Builder) -> Builder:
        if kind in _builders:
            raise ValueError(f"The kind of email {kind!r} is registered twice.")
        _builders[kind] = builder
        return builder

    return register


def known_kinds() -> list[str]:
    return sorted(_builders)


def require_known(kind: str) -> None:
    """Raise LookupError for a kind that no app has registered."""
    if kind not in _builders:
        raise LookupError(f"No app has registered the kind of email {kind!r}.")


def build_content(kind: str, cause: str) -> EmailContent | None:
    return _builders[kind](cause)
