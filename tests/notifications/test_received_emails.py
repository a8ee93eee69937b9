"""An email as a real mail server receives it from the real emails process."""

from collections.abc import Iterator
from email import message_from_bytes, policy
from email.message import EmailMessage

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.handlers import Message

from snap.local.embedded import free_port
from tests.factories import make_request
from tests.helpers.places import pass_of_only_guest
from tests.helpers.scans import scan
from tests.helpers.stack import Stack, wait_for

pytestmark = pytest.mark.processes


def qr_in(message: EmailMessage) -> str:
    """Return the text of the QR code that an email has as an inline image."""
    (image,) = [part for part in message.walk() if part.get_content_type() == "image/png"]
    assert image["Content-ID"]
    png = image.get_payload(decode=True)
    assert isinstance(png, bytes)
    return scan(png)


class Sink(Message):
    """Keeps the emails that a mail server receives."""

    def __init__(self) -> None:
        super().__init__()
        self.received: list[EmailMessage] = []

    def handle_message(self, message: object) -> None:
        raw = message.as_bytes()  # type: ignore[attr-defined]
        self.received.append(message_from_bytes(raw, policy=policy.default))


@pytest.fixture
def mail_server(stack: Stack) -> Iterator[Sink]:
    """A real SMTP server; the emails process sends to it."""
    sink = Sink()
    controller = Controller(sink, hostname="127.0.0.1", port=free_port())
    controller.start()
    stack.restart(
        "emails",
        EMAIL_PROVIDER="smtp",
        EMAIL_HOST="127.0.0.1",
        EMAIL_PORT=str(controller.port),
    )
    yield sink
    stack.restart("emails")
    controller.stop()


def test_a_received_email_has_the_same_qr_code(stack: Stack, mail_server: Sink) -> None:
    request = make_request()
    (message,) = wait_for(lambda: mail_server.received, 30)
    assert message["To"] == request.account.email
    assert qr_in(message) == pass_of_only_guest(stack)
    text = message.get_body(("plain",))
    assert text is not None
    assert pass_of_only_guest(stack) in text.get_content()
