"""Examples of every kind of email: staff look at them in admin, and send them to themselves.

The cause of an example is `preview:<id>/<sample>`, and that of one that is sent
`preview:<id>/<sample>/<uuid>`. The id is that of the event it is about. An example is built from
its cause in the place of the kind's own builder, so everything after that is as for any email.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from uuid import uuid4

from django.utils import timezone
from django.utils.functional import Promise

from notifications.kinds import EmailContent, known_kinds, register_preview_builder
from notifications.messages import RelatedMessage, build_messages
from notifications.models import Email

# The subject line of an email that is shown needs an address.
EXAMPLE_ADDRESS = "guest@example.com"


@dataclass(frozen=True)
class Sample:
    """One example of a kind: its word in addresses, what staff call it, and its content."""

    name: str
    label: Promise | str
    content: EmailContent


# Takes what the examples are about, and returns them in the active language.
SampleMaker = Callable[[Any], Sequence[Sample]]

_makers: dict[str, SampleMaker] = {}
_find_subject: Callable[[str], Any] | None = None


def email_samples(kind: str) -> Callable[[SampleMaker], SampleMaker]:
    """Register the function that makes the examples of a kind, the usual one first."""

    def register(maker: SampleMaker) -> SampleMaker:
        if kind in _makers:
            raise ValueError(f"The examples of the kind of email {kind!r} are registered twice.")
        _makers[kind] = maker
        return maker

    return register


def register_preview_subject(find: Callable[[str], Any]) -> None:
    """Register the function that finds what examples are about by its id; None if it is gone."""
    global _find_subject
    _find_subject = find


def kinds_with_samples() -> list[str]:
    """Return the kinds that have examples, of those that this release sends."""
    return [kind for kind in known_kinds() if kind in _makers]


def make_samples(kind: str, about: Any) -> Sequence[Sample]:
    """Return the examples of a kind. Raises KeyError for a kind without examples."""
    return _makers[kind](about)


def preview_cause(about: int, sample: str) -> str:
    return f"preview:{about}/{sample}"


def cause_of_test(about: int, sample: str) -> str:
    """Return the cause of an example that is sent. Each call returns another one."""
    return f"{preview_cause(about, sample)}/{uuid4().hex}"


def build_preview(kind: str, about: int, sample: str, language: str) -> RelatedMessage | None:
    """Return an example as it would be sent, None if there is none of this name. One query."""
    email = Email(
        pk=0,
        kind=kind,
        cause=preview_cause(about, sample),
        to=EXAMPLE_ADDRESS,
        language=language,
        queued_at=timezone.now(),
    )
    built = build_messages([email])[0]
    if isinstance(built, Exception):
        raise built
    return built


def subject_id(cause: str) -> str:
    """Return the id in the cause of an example."""
    return cause.removeprefix("preview:").partition("/")[0]


def _build_samples(kind: str, causes: Sequence[str]) -> Mapping[str, EmailContent]:
    """Return the content of each cause whose example exists. One query for each subject."""
    contents = {}
    for about_id, of_subject in _by_subject(causes).items():
        about = _find_subject(about_id) if _find_subject else None
        if about is None or kind not in _makers:
            continue
        samples = {sample.name: sample for sample in make_samples(kind, about)}
        for cause in of_subject:
            name, _slash, test_id = cause.partition("/")[2].partition("/")
            if name in samples:
                contents[cause] = _marked(samples[name].content, is_test=bool(test_id))
    return contents


def _marked(content: EmailContent, *, is_test: bool) -> EmailContent:
    """Return the content with what its subject shows for a test."""
    return replace(content, context={**content.context, "is_test": is_test})


def _by_subject(causes: Iterable[str]) -> dict[str, list[str]]:
    causes_by_subject: dict[str, list[str]] = {}
    for cause in causes:
        causes_by_subject.setdefault(subject_id(cause), []).append(cause)
    return causes_by_subject


register_preview_builder(_build_samples)
