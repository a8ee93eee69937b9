"""The parts of a message as SMTP sends them: ASCII, with CRLF at the end of each line.

Texts are quoted-printable, so that a text can be encoded in pieces. Files are base64. No line of
either can contain `=_`, so the boundaries need no random part.
"""

import re
from base64 import b64encode
from binascii import b2a_qp
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from email.message import Message
from email.mime.base import MIMEBase
from email.mime.nonmultipart import MIMENonMultipart

from django.core.mail import BadHeaderError

CRLF = b"\r\n"
# The end of a line that is none of the text (RFC 2045, 6.7).
SOFT_BREAK = b"=\r\n"
MAX_LINE = 76
# Bytes of a file on one line of base64: 76 characters.
LINE_BYTES = 57
# A header field of at most this many characters needs no second line.
MAX_FIELD = 66
# Bytes of a text in one encoded word: 72 of the 75 characters that it may have (RFC 2047, 2).
WORD_BYTES = 45
# Fewer in the first word: the name of the field is on the same line.
FIRST_WORD_BYTES = 36
# A file name that needs no encoding.
PLAIN_NAME = re.compile(r"[\w.-]{1,60}", re.ASCII)


def quote_text(text: str) -> bytes:
    """Return a text, or a piece of one, in quoted-printable."""
    lines = text.replace("\r\n", "\n").replace("\r", "\n")
    quoted = b2a_qp(lines.encode(), istext=True).replace(b"\n", CRLF)
    if len(quoted) - (quoted.rfind(b"\n") + 1) == MAX_LINE:
        # The line has no room for the SOFT_BREAK of `join_pieces`.
        return quoted[:-1] + SOFT_BREAK + quoted[-1:]
    return quoted


def join_pieces(pieces: Iterable[bytes]) -> bytes:
    """Return a text of quoted pieces. Each begins on a new line that is none of the text."""
    return SOFT_BREAK.join(pieces)


def encode_text_field(name: str, text: str) -> bytes:
    """Return a header field whose value is any text, such as the subject."""
    if len(text) > MAX_FIELD or not text.isascii() or not text.isprintable() or "=?" in text:
        text = _encoded_words(text)
    return f"{name}: {text}\r\n".encode("ascii")


def _encoded_words(text: str) -> str:
    """Return a text as encoded words (RFC 2047), in lines. No character is split."""
    words = []
    word = b""
    limit = FIRST_WORD_BYTES
    for character in text:
        encoded = character.encode()
        if len(word) + len(encoded) > limit:
            words.append(word)
            word = b""
            limit = WORD_BYTES
        word += encoded
    words.append(word)
    return "\r\n ".join(f"=?utf-8?b?{b64encode(each).decode()}?=" for each in words)


@dataclass(frozen=True)
class FilePart:
    """A file of a message: an inline image, or an attachment. `encoded` is its base64."""

    content_type: str
    disposition: str
    encoded: bytes
    content_id: str = ""

    def to_bytes(self) -> bytes:
        """Return the part for SMTP."""
        return encode_fields(self._fields()) + CRLF + self.encoded

    def to_mime(self) -> MIMEBase:
        """Return the part for providers with an API."""
        main, _, rest = self.content_type.partition("/")
        part = MIMENonMultipart(main, rest.partition(";")[0])
        for name, value in self._fields().items():
            del part[name]
            part[name] = value
        part.set_payload(self.encoded.decode("ascii"))
        return part

    def _fields(self) -> dict[str, str]:
        fields = {
            "Content-Type": self.content_type,
            "Content-Transfer-Encoding": "base64",
            "Content-Disposition": self.disposition,
        }
        if self.content_id:
            fields["Content-ID"] = f"<{self.content_id}>"
        return fields


def encode_file(content: bytes) -> bytes:
    """Encode a file as base64 in lines."""
    lines = []
    for start in range(0, len(content), LINE_BYTES):
        lines.append(b64encode(content[start : start + LINE_BYTES]))
    return CRLF.join(lines) + CRLF


def disposition(kind: str, file_name: str) -> str:
    """Return the Content-Disposition of a file: `inline` or `attachment`, with its name."""
    if PLAIN_NAME.fullmatch(file_name):
        return f'{kind}; filename="{file_name}"'
    field = Message()
    field.add_header("Content-Disposition", kind, filename=" ".join(file_name.split()))
    return str(field["Content-Disposition"])


def encode_fields(fields: Mapping[str, str]) -> bytes:
    """Return header fields as lines. Raises BadHeaderError for a value of more than one line."""
    lines = []
    for name, value in fields.items():
        if "\n" in value or "\r" in value:
            raise BadHeaderError(f"{name} has more than one line")
        lines.append(f"{name}: {value}\r\n")
    return "".join(lines).encode("ascii")


def multipart(subtype: str, parts: Iterable[bytes], *, parameters: str = "") -> bytes:
    """Return an entity of several entities, from its Content-Type on."""
    boundary = f"=_{subtype}"
    header = f'Content-Type: multipart/{subtype}; boundary="{boundary}"{parameters}\r\n\r\n'
    encoded = [header.encode()]
    delimiter = f"--{boundary}\r\n".encode()
    for part in parts:
        encoded += [delimiter, part, CRLF]
    encoded.append(f"--{boundary}--\r\n".encode())
    return b"".join(encoded)
