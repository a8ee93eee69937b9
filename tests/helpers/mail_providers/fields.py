"""An email as a provider's API got it, and the checks that all providers share."""

import base64
import binascii
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from email.utils import parseaddr
from typing import Any

MESSAGE_ID = re.compile(r"<[^<>@\s]+@[^<>@\s]+>")
CID = re.compile(r"""["'(]cid:([^"')\s]+)""")
PNG = b"\x89PNG\r\n\x1a\n"
ADDRESS = re.compile(r"[\x21-\x7e]+@[\x21-\x7e]+")


class Refusal(Exception):  # noqa: N818 (a response, not an error of the test)
    """The response of a provider to a request that it does not accept."""

    def __init__(self, status: int, error: str) -> None:
        super().__init__(f"{status} {error}")
        self.status = status
        self.error = error


@dataclass(frozen=True)
class ReceivedFile:
    """An attachment. `content_id` is "" for one that is not inline."""

    name: str
    content_type: str
    content: bytes
    content_id: str = ""


@dataclass(frozen=True)
class ReceivedEmail:
    """One accepted email. `metadata` and `tags` come back in the provider's reports."""

    provider: str
    provider_id: str
    sender: str
    to: str
    subject: str
    text: str
    html: str
    headers: Mapping[str, str]
    files: tuple[ReceivedFile, ...] = ()
    tags: Any = None
    metadata: Mapping[str, str] = field(default_factory=dict)
    tracks_opens: bool | None = None
    at: float = 0.0

    @property
    def message_id(self) -> str:
        return self.headers.get("message-id", "")

    @property
    def inline(self) -> dict[str, ReceivedFile]:
        """Return the inline files by Content-ID."""
        return {each.content_id: each for each in self.files if each.content_id}

    @property
    def attachments(self) -> list[ReceivedFile]:
        return [each for each in self.files if not each.content_id]


class Checks:
    """Checks the fields of one request, and collects what is wrong as sentences."""

    def __init__(self) -> None:
        self.wrong: list[str] = []

    def require(self, is_right: object, sentence: str) -> None:
        if not is_right:
            self.wrong.append(sentence)

    def only(self, given: Iterable[str], known: Iterable[str], where: str) -> None:
        """Report fields that the documentation does not have."""
        for name in sorted(set(given) - set(known)):
            self.wrong.append(f"{where} has the unknown field {name}")

    def text(self, given: Mapping[str, Any], name: str, where: str) -> str:
        """Return a required text."""
        value = given.get(name)
        self.require(isinstance(value, str) and value, f"{where} has no text {name}")
        return value if isinstance(value, str) else ""

    def headers(self, given: object, where: str) -> dict[str, str]:
        """Return headers with names in lower case. Values are texts of one line."""
        if not isinstance(given, Mapping):
            self.require(given is None, f"{where} is no object")
            return {}
        for name, value in given.items():
            is_line = isinstance(value, str) and not re.search(r"[\r\n\x00]", value)
            self.require(is_line, f"{where}.{name} is no line of text")
        return {name.lower(): str(value) for name, value in given.items()}

    def base64(self, given: object, where: str) -> bytes:
        try:
            return base64.b64decode(str(given), validate=True)
        except binascii.Error:
            self.wrong.append(f"{where} is not base64")
            return b""

    def email(self, email: ReceivedEmail) -> None:
        """Check what is true of each email of SNAP, whichever provider sends it."""
        _, sender = parseaddr(email.sender)
        self.require(ADDRESS.fullmatch(sender), f"the sender {email.sender!r} has no address")
        self.require(ADDRESS.fullmatch(email.to), f"the recipient {email.to!r} is no address")
        self.require("\n" not in email.subject, "the subject has several lines")
        self.require(email.text.strip(), "the text is empty")
        self.require(email.html.strip(), "the HTML is empty")
        self.require(MESSAGE_ID.fullmatch(email.message_id), "there is no Message-ID")
        automatic = email.headers.get("auto-submitted")
        self.require(automatic == "auto-generated", "there is no Auto-Submitted")
        shown = set(CID.findall(email.html))
        self.require(
            shown == set(email.inline), f"the HTML shows {shown} of {set(email.inline)} inline"
        )
        for file in email.files:
            self.require(file.name, "a file has no name")
            self.require("/" in file.content_type, f"{file.name} has no content type")
            if file.content_type == "image/png":
                self.require(file.content.startswith(PNG), f"{file.name} is no PNG")
