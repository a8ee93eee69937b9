"""What the causes of emails mean: to whom an email goes at present, and what it is about in words.

A cause is text, `guest:17/1`. The app that has the rows registers the word before the colon. So
staff can send any email again, to the address that its person has now.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from django.utils.functional import Promise


@dataclass(frozen=True)
class Recipient:
    """The address and language to which an email about a cause goes at present.

    `refusal` is the code of a reason for which it goes to nobody, "" without one.
    """

    to: str = ""
    language: str = ""
    refusal: str = ""


@dataclass(frozen=True)
class Subject:
    """What an email is about: a text for staff, and the admin page of the row behind it."""

    text: str
    url_name: str = ""
    pk: int | None = None


FindRecipient = Callable[[str, str], Recipient | None]
DescribeCauses = Callable[[Iterable[str]], Mapping[str, Subject]]


@dataclass(frozen=True)
class _Causes:
    find_recipient: FindRecipient
    describe: DescribeCauses
    refusals: Mapping[str, Promise]


_causes: dict[str, _Causes] = {}


def register_causes(
    prefix: str,
    *,
    find_recipient: FindRecipient,
    describe: DescribeCauses,
    refusals: Mapping[str, Promise],
) -> None:
    """Register the causes `<prefix>:…`.

    `find_recipient` takes a kind and a cause, and returns None when the email's own address is
    right. `describe` returns a subject for each cause whose row exists, in one query. `refusals`
    has the texts of the codes of recipients.
    """
    if prefix in _causes:
        raise ValueError(f"The causes {prefix!r} are registered twice.")
    _causes[prefix] = _Causes(find_recipient, describe, refusals)


def present_recipient(kind: str, cause: str) -> Recipient | None:
    """Return to whom an email about a cause goes at present. None: to its own address."""
    registered = _causes.get(_prefix_of(cause))
    if registered is None:
        return None
    return registered.find_recipient(kind, cause)


def refusal_text(code: str) -> str:
    """Return the text of a recipient's refusal. Raises KeyError for an unknown code."""
    for registered in _causes.values():
        if text := registered.refusals.get(code):
            return str(text)
    raise KeyError(code)


def describe_causes(causes: Iterable[str]) -> dict[str, Subject]:
    """Return what causes are about, by cause. A cause whose row is unknown is left out."""
    by_prefix: dict[str, list[str]] = {}
    for cause in causes:
        by_prefix.setdefault(_prefix_of(cause), []).append(cause)
    subjects: dict[str, Subject] = {}
    for prefix, of_prefix in by_prefix.items():
        if registered := _causes.get(prefix):
            subjects.update(registered.describe(of_prefix))
    return subjects


def _prefix_of(cause: str) -> str:
    return cause.partition(":")[0]
