"""Each kind of email as a mail server receives it, read by a parser that is not Python's."""

import re

import fast_mail_parser
import pytest
from fast_mail_parser import PyMimePart
from ical.calendar_stream import IcsCalendarStream

from notifications.models import Email
from notifications.sending import send_due_emails
from tests.helpers.emails_of_kinds import CAUSES, queue_email_of
from tests.helpers.mail_providers.choice import Choose
from tests.helpers.mail_providers.smtp_server import MailServer
from tests.helpers.scans import scan

pytestmark = pytest.mark.django_db

CID = re.compile(r"cid:([^\"')\s]+)")
LONGEST_LINE = 998  # RFC 5322, section 2.1.1, without the line break
# The parts of an email, each before what it contains.
PLAIN = ["multipart/alternative", "text/plain", "text/html"]


def receive(choose: Choose, kind: str, language: str) -> tuple[Email, bytes]:
    """Send an email of a kind by SMTP, and return its row and what the mail server got."""
    (server,) = choose("smtp")
    assert isinstance(server, MailServer)
    email = queue_email_of(kind, language)
    send_due_emails()
    email.refresh_from_db()
    assert email.state == "sent"
    (content,) = server.contents
    return email, content


def parts_of(content: bytes) -> list[PyMimePart]:
    return list(fast_mail_parser.walk(fast_mail_parser.parse_email_tree(content)))


def text_of(parts: list[PyMimePart], content_type: str) -> str:
    (part,) = [part for part in parts if part.content_type == content_type]
    assert part.content is not None
    return part.content.decode()


@pytest.mark.parametrize("language", ["pt-pt", "en"])
@pytest.mark.parametrize("kind", sorted(CAUSES))
def test_every_kind_is_received_whole(choose: Choose, kind: str, language: str) -> None:
    email, content = receive(choose, kind, language)
    read = fast_mail_parser.parse_email(content)
    assert read.warnings == []
    assert read.from_ is not None
    assert (read.from_.display_name, read.from_.address) == ("SNAP", "no-reply@snap.example")
    assert [each.address for each in read.to] == [email.to]
    assert (read.cc, read.bcc) == ([], [])
    assert read.date_parsed is not None
    assert read.subject.strip()
    assert read.headers["Auto-Submitted"] == ["auto-generated"]
    (message_id,) = read.headers["Message-ID"]
    assert message_id.startswith(f"<email.{email.pk}.")
    check_format(content)
    parts = parts_of(content)
    check_parts(parts)
    assert "Inês & Zé" in text_of(parts, "text/plain")
    assert "Inês &amp; Zé" in text_of(parts, "text/html")


def check_format(content: bytes) -> None:
    """Check the rules of RFC 5322: line breaks, lengths, ASCII, no header twice."""
    assert re.search(rb"(?<!\r)\n|\r(?!\n)", content) is None
    assert max(map(len, content.split(b"\r\n"))) <= LONGEST_LINE
    head = content.partition(b"\r\n\r\n")[0]
    assert head.isascii()
    names = [line.partition(b":")[0].lower() for line in head.split(b"\r\n") if line[:1] > b" "]
    assert len(names) == len(set(names))


def check_parts(parts: list[PyMimePart]) -> None:
    """Check that the parts come in the order that mail programs expect, and images are shown."""
    types = [part.content_type for part in parts]
    start = types.index("multipart/alternative")
    assert types[start : start + 3] == PLAIN
    shown = set(CID.findall(text_of(parts, "text/html")))
    images = [part for part in parts if part.disposition == "inline"]
    assert {part.content_id for part in images} == shown
    if images:
        assert "multipart/related" in types[:start]


def test_the_received_qr_code_opens_the_door(choose: Choose) -> None:
    _, content = receive(choose, "qr_code", "en")
    parts = parts_of(content)
    (image,) = [part for part in parts if part.content_type == "image/png"]
    assert image.content is not None
    assert scan(image.content) in text_of(parts, "text/plain")


def test_the_received_calendar_file_is_read_by_another_library(choose: Choose) -> None:
    _, content = receive(choose, "qr_code", "en")
    (file,) = [part for part in parts_of(content) if part.content_type == "text/calendar"]
    assert file.content is not None
    (entry,) = IcsCalendarStream.calendar_from_ics(file.content.decode()).events
    assert "Noite de São João" in str(entry.summary)
