"""Render the templates of an email once for all persons who get it.

A skeleton is an email with a gap for each text of one person, such as the name. It is rendered with
a random marker in place of each of these texts, so templates can print the text of a person, and
can do nothing else with it. The texts are put into the gaps as data: nothing in them is read as a
template, as HTML or as another gap.
"""

import re
import secrets
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from datetime import date, time, timedelta
from decimal import Decimal
from enum import Enum
from html import escape
from typing import Any

from django.conf import settings
from django.template.loader import get_template
from django.utils.functional import Promise
from django.utils.translation import get_language

from notifications.html import inline_styles
from notifications.mime import join_pieces, multipart, quote_text
from snap.local_cache import LocalCache

TEMPLATES = ("subject.txt", "txt", "html")
TEXT_FIELDS = (
    b"Content-Type: text/%s; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n"
)

# Types of context whose `repr` says all that a template can print of a value.
SIMPLE_TYPES = (str, bytes, int, float, Decimal, date, time, timedelta, Enum, type(None))

# Skeletons that a process keeps, and for how long. Each takes some 40 kB. The time is short for the
# sake of what no key can name, such as a changed translation.
MAX_SKELETONS = 64
SKELETON_SECONDS = 10.0


class ChangedTextError(Exception):
    """A template changes the text of a person instead of printing it."""


@dataclass(frozen=True)
class Filled:
    """The email of one person. `body` is its text and its HTML as SMTP sends them."""

    subject: str
    text: str
    html: str
    body: bytes


class Skeleton:
    """An email with gaps: its subject, text and HTML, each as a format of the operator `%`."""

    def __init__(self, subject: str, text: str, html: str, markers: "Markers") -> None:
        self._names = markers.names
        self._subject = markers.to_format(subject)
        self._text = markers.to_format(text)
        self._html = markers.to_format(html)
        plain = TEXT_FIELDS % b"plain" + markers.to_quoted_format(text, "text")
        rich = TEXT_FIELDS % b"html" + markers.to_quoted_format(html, "html")
        self._body = multipart("alternative", [plain, rich])

    def fill(self, personal: Mapping[str, str]) -> Filled:
        """Return the email of one person. Raises KeyError when a text is missing."""
        escaped = {}
        quoted = {}
        for name in self._names:
            escaped[name] = escape(personal[name])
            quoted[f"text.{name}".encode()] = quote_text(personal[name])
            quoted[f"html.{name}".encode()] = quote_text(escaped[name])
        return Filled(
            subject=" ".join((self._subject % personal).split()),
            text=self._text % personal,
            html=self._html % escaped,
            body=self._body % quoted,
        )


class Markers:
    """Random texts that stand for the texts of a person while templates are rendered."""

    def __init__(self, names: Iterable[str]) -> None:
        self.names = tuple(names)
        # Letters and digits, which neither HTML nor an address changes.
        self._secret = f"m{secrets.token_hex(8)}"
        self._pattern = re.compile(rf"{self._secret}(\d+)m")

    def __getitem__(self, name: str) -> str:
        return f"{self._secret}{self.names.index(name)}m"

    def to_format(self, rendered: str) -> str:
        """Return a rendered text as a format. Raises ChangedTextError."""
        pieces = [piece.replace("%", "%%") for piece in self._constants(rendered)]
        gaps = [f"%({name})s" for name in self._gaps(rendered)]
        return "".join(_alternate(pieces, gaps))

    def to_quoted_format(self, rendered: str, prefix: str) -> bytes:
        """Return a rendered text as a format in quoted-printable. Its names have a prefix."""
        pieces = [quote_text(piece).replace(b"%", b"%%") for piece in self._constants(rendered)]
        gaps = [f"%({prefix}.{name})s".encode() for name in self._gaps(rendered)]
        return join_pieces(_alternate(pieces, gaps))

    def _constants(self, rendered: str) -> list[str]:
        constants = self._pattern.split(rendered)[::2]
        for constant in constants:
            if self._secret[:12] in constant.lower():
                raise ChangedTextError("a template changes the text of a person")
        return constants

    def _gaps(self, rendered: str) -> list[str]:
        return [self.names[int(index)] for index in self._pattern.findall(rendered)]


def _alternate(pieces: list[Any], gaps: list[Any]) -> list[Any]:
    """Return pieces with the gaps between them. There is one gap less."""
    alternating = pieces[:1]
    for gap, piece in zip(gaps, pieces[1:], strict=True):
        alternating += [gap, piece]
    return alternating


_skeletons: LocalCache[Hashable, Skeleton] = LocalCache(
    size=MAX_SKELETONS, seconds=lambda: SKELETON_SECONDS
)


def find_skeleton(kind: str, context: Mapping[str, Any], gaps: tuple[str, ...]) -> Skeleton:
    """Return the skeleton of a kind in the active language. Raises ChangedTextError.

    `gaps` are the names of texts of a person; a name with a dot stands for a value of a dictionary.
    A skeleton is rendered once for equal templates and contexts.
    """
    templates = [get_template(f"emails/{kind}.{ending}") for ending in TEMPLATES]
    try:
        values = freeze(context)
    except UnknownTypeError:
        return _render(templates, context, gaps)
    # The compiled templates: a template that is loaded again after a change is another one.
    compiled = tuple(template.template for template in templates)  # type: ignore[attr-defined]
    key = (compiled, get_language(), settings.PUBLIC_URL, values, gaps)
    skeleton = _skeletons.get(key)
    if skeleton is None:
        skeleton = _render(templates, context, gaps)
        _skeletons.set(key, skeleton)
    return skeleton


def content_id_gap(image: str) -> str:
    """Return the name of the gap for the Content-ID of an inline image."""
    return f"content_ids.{image}"


def _render(
    templates: Sequence[Any], context: Mapping[str, Any], gaps: tuple[str, ...]
) -> Skeleton:
    markers = Markers(gaps)
    values = {**context, "language": get_language(), "public_url": settings.PUBLIC_URL}
    for name in gaps:
        outer, _, inner = name.rpartition(".")
        if outer:
            values.setdefault(outer, {})[inner] = markers[name]
        else:
            values[name] = markers[name]
    subject, text, html = (template.render(values) for template in templates)
    return Skeleton(" ".join(subject.split()), text.strip() + "\n", inline_styles(html), markers)


class UnknownTypeError(TypeError):
    """A value of a context is of a type whose contents are unknown here."""


def freeze(value: Any) -> Hashable:
    """Return a key that is equal for values that templates print in the same way.

    Equal values can be printed in different ways: True and 1, or one time in two zones. Raises
    UnknownTypeError, for a model for example.
    """
    if isinstance(value, Mapping):
        return tuple(sorted((str(name), freeze(each)) for name, each in value.items()))
    if isinstance(value, list | tuple):
        return type(value), tuple(freeze(each) for each in value)
    if isinstance(value, Promise):
        return type(value), str(value)
    if isinstance(value, SIMPLE_TYPES):
        return type(value), repr(value)
    if is_dataclass(value) and not isinstance(value, type):
        return type(value), tuple(freeze(getattr(value, each.name)) for each in fields(value))
    raise UnknownTypeError(type(value).__name__)
