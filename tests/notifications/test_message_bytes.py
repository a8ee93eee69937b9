"""Messages as SMTP gets them say the same as those that Django builds for each person alone."""

import re
from dataclasses import dataclass, replace
from email import message_from_bytes, policy
from email.message import EmailMessage
from html.parser import HTMLParser
from typing import Any

import fast_mail_parser
import pytest

from notifications.kinds import Attachment, EmailContent, bulk_kinds
from notifications.messages import RelatedMessage, content_id, make_message
from notifications.models import Email
from notifications.unsubscribing import unsubscribe_url
from tests.helpers.example_emails import CONTEXTS, NOW, PERSONAL, qr_png
from tests.helpers.plain_messages import plain_message

NAMES = {
    "accents": "Inês Conceição",
    "one letter": "É",
    "none": "",
    "markup": "<script>alert('1')</script> & \"co\"",
    "entities": "&amp; &#39; &nbsp;",
    "format": "%(first_name)s %s %% %d {0} {first_name}",
    "template": "{{ first_name }} {% now 'Y' %} {# a #}",
    "gap": "m0123456789abcdef0m",
    "right to left": "\u202eمحمد\u202c عبد الله",
    "emoji": "👩‍👩‍👧‍👦 🇵🇹",
    "quotes": 'O\'Neill "Bob" `x` «y»',
    "encoded": "=?utf-8?b?SW7Dqg==?= =C3=AA =\r\n",
    "spaces": "  a  b\u00a0c\u2003d  ",
    "dots": ".\r\n.\r\n..a",
    "lines": "a\nb\r\nc\rd\r\n\r\nFrom me",
    "boundary": "--=_alternative--\r\n--=_related",
    "control": "a\x07b\x1bc\x7fd",
    "long": "x" * 5000,
    "long words": "ção " * 400,
    "75 bytes": "y" * 75,
    "76 bytes": "z" * 76,
    "77 bytes": "w" * 75 + "é",
}
ALL_NAMES = " ".join(NAMES.values())
FILE = Attachment(
    "noite de são joão.ics",
    b"BEGIN:VCALENDAR\r\nEND:VCALENDAR\r\n",
    "text/calendar; method=PUBLISH",
)


@dataclass(frozen=True)
class Part:
    """What a part of a message says, apart from how it is encoded."""

    type: str
    content: str | bytes
    disposition: str | None
    file_name: str | None
    content_id: str | None
    method: str


def build(kind: str, language: str, name: str, **more: Any) -> tuple[RelatedMessage, bytes]:
    """Return our message, and the bytes of Django's for the same email."""
    email = Email(pk=1, kind=kind, to="ines@example.pt", language=language, queued_at=NOW)
    context = CONTEXTS[kind]
    personal = {**PERSONAL[kind], "first_name": name}
    if "code" in personal:
        personal["code"] = name
    if kind in bulk_kinds():
        personal["unsubscribe_url"] = unsubscribe_url(email)
    images = {"qr": qr_png()} if kind == "qr_code" else {}
    content = EmailContent(context, personal, inline_images=images, **more)
    ids = {image: content_id(email, image) for image in images}
    plain: Any = plain_message(email, content, ids).message()
    return make_message(email, content), plain.as_bytes(linesep="\r\n")


class Reader(HTMLParser):
    """Reads HTML as its tags, attributes and texts, whatever was escaped in them how."""

    def __init__(self) -> None:
        super().__init__()
        self.tokens: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tokens.append(f"\n<{tag} {attrs}>\n")

    def handle_endtag(self, tag: str) -> None:
        self.tokens.append(f"\n</{tag}>\n")

    def handle_data(self, data: str) -> None:
        self.tokens.append(data)

    def handle_comment(self, data: str) -> None:
        self.tokens.append(f"\n<!--{data}-->\n")


def tokens_of(html: str) -> str:
    reader = Reader()
    reader.feed(html)
    reader.close()
    return "".join(reader.tokens)


def lines_of(text: str, subtype: str) -> list[str]:
    """Return the lines of a text. Line ends may differ, and so may empty lines at the end.

    The styles of plain messages are put in after the names, which changes how these are escaped.
    """
    if subtype == "html":
        text = tokens_of(text)
    return text.replace("\r\n", "\n").replace("\r", "\n").rstrip("\n").split("\n")


def parts_of(raw: bytes) -> list[Any]:
    """Return what a message says, read by Python's parser, without ids and dates."""
    message = message_from_bytes(raw, policy=policy.default)
    said: list[Any] = [message["From"], message["To"], message["Auto-Submitted"]]
    for part in message.walk():
        assert isinstance(part, EmailMessage)
        assert not part.defects
        content: Any = ""
        if part.get_content_maintype() == "text" and not part.get_filename():
            content = lines_of(part.get_content(), part.get_content_subtype())
        elif not part.is_multipart():
            content = part.get_payload(decode=True)
        said.append(
            Part(
                part.get_content_type(),
                content,
                part.get_content_disposition(),
                part.get_filename(),
                part["Content-ID"],
                str(part.get_param("method")),
            )
        )
    return said


def subject_of(raw: bytes) -> str:
    return str(message_from_bytes(raw, policy=policy.default)["Subject"])


def read_elsewhere(raw: bytes) -> list[Any]:
    """Return what a message says, read by a parser that is not Python's."""
    message = fast_mail_parser.parse_email(raw)
    assert message.warnings == []
    said: list[Any] = [message.subject]
    for part in fast_mail_parser.walk(fast_mail_parser.parse_email_tree(raw)):
        content: Any = part.content or b""
        if part.content_type.startswith("text/") and part.content_type != "text/calendar":
            content = lines_of(content.decode(), part.content_type.partition("/")[2])
        said.append((part.content_type, content, part.disposition, part.content_id))
    return said


@pytest.mark.parametrize("language", ["pt-pt", "en"])
@pytest.mark.parametrize("kind", CONTEXTS)
def test_every_kind_says_what_djangos_message_says(kind: str, language: str) -> None:
    ours, plain = build(kind, language, ALL_NAMES)
    assert parts_of(ours.to_bytes()) == parts_of(plain)
    # Subjects are compared below.
    assert read_elsewhere(ours.to_bytes())[1:] == read_elsewhere(plain)[1:]


@pytest.mark.parametrize("name", NAMES)
def test_every_name_arrives_as_in_djangos_message(name: str) -> None:
    ours, plain = build("qr_code", "pt-pt", NAMES[name])
    assert parts_of(ours.to_bytes()) == parts_of(plain)
    assert read_elsewhere(ours.to_bytes())[1:] == read_elsewhere(plain)[1:]


@pytest.mark.parametrize("name", NAMES)
def test_a_subject_arrives_as_it_is(name: str) -> None:
    ours, _ = build("login_code", "pt-pt", NAMES[name])
    raw = ours.to_bytes()
    expected = " ".join(f"{NAMES[name]} é o teu código SNAP".split())
    assert subject_of(raw) == expected == ours.subject
    if name != "control":
        assert read_elsewhere(raw)[0] == expected


@pytest.mark.parametrize("kind", CONTEXTS)
def test_providers_with_an_api_get_the_same_texts(kind: str) -> None:
    ours, plain = build(kind, "en", ALL_NAMES)
    ((html, _),) = ours.alternatives
    read = message_from_bytes(plain, policy=policy.default)
    for subtype, text in (("plain", ours.body), ("html", html)):
        part: Any = read.get_body((subtype,))
        assert lines_of(str(text), subtype) == lines_of(part.get_content(), subtype)


@pytest.mark.parametrize("kind", ["qr_code", "welcome"])
def test_a_file_is_beside_everything_else(kind: str) -> None:
    ours, plain = build(kind, "en", "Ana", attachments=[FILE])
    said = parts_of(ours.to_bytes())
    assert said == parts_of(plain)
    assert said[3].type == "multipart/mixed"
    calendar = said[-1]
    assert (calendar.type, calendar.method) == ("text/calendar", "PUBLISH")
    assert calendar.file_name == FILE.name
    files = [part for part in ours.attachments if part.get_content_type() == "text/calendar"]
    assert [part.get_payload(decode=True) for part in files] == [FILE.content]


@pytest.mark.parametrize("kind", CONTEXTS)
def test_the_bytes_keep_the_rules_of_smtp(kind: str) -> None:
    """ASCII, lines of at most 78 characters that end in CRLF, and each header field once."""
    file = replace(FILE, name="noite-de-sao-joao.ics")
    ours, _ = build(kind, "pt-pt", ALL_NAMES, attachments=[file])
    raw = ours.to_bytes()
    assert raw.isascii()
    assert raw.endswith(b"\r\n")
    assert re.search(rb"(?<!\r)\n|\r(?!\n)", raw) is None
    head, _, body = raw.partition(b"\r\n\r\n")
    fields = re.findall(rb"^[\w-]+(?=:)", head, re.MULTILINE)
    assert len(fields) == len(set(fields))
    assert max(map(len, body.split(b"\r\n"))) <= 78


def test_the_ids_of_a_message_are_the_same_at_each_attempt() -> None:
    first, second = (build("qr_code", "en", "Ana")[0].to_bytes() for _ in range(2))
    without_date = [re.sub(rb"Date: [^\r]*\r\n", b"", raw) for raw in (first, second)]
    assert without_date[0] == without_date[1]


def test_django_gets_the_same_message() -> None:
    """For backends other than ours, such as the inbox."""
    ours, _ = build("qr_code", "pt-pt", "Inês")
    assert parts_of(ours.message().as_bytes()) == parts_of(ours.to_bytes())
