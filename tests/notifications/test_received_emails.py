"""An email as a real mail server receives it from the real emails process."""

from collections.abc import Iterator
from email.message import EmailMessage

import pytest

from tests.factories import make_request
from tests.helpers.mail_servers import Sink
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


@pytest.fixture
def mail_server(stack: Stack) -> Iterator[Sink]:
    """A running mail server, to which the emails process sends."""
    sink = Sink()
    sink.start()
    stack.restart(
        "emails", EMAIL_PROVIDER="smtp", EMAIL_HOST="127.0.0.1", EMAIL_PORT=str(sink.port)
    )
    yield sink
    stack.restart("emails")
    sink.stop()


def test_a_received_email_has_the_same_qr_code(stack: Stack, mail_server: Sink) -> None:
    request = make_request()
    (message,) = wait_for(lambda: mail_server.messages, 30)
    assert message["To"] == request.account.email
    assert qr_in(message) == pass_of_only_guest(stack)
    text = message.get_body(("plain",))
    assert text is not None
    assert pass_of_only_guest(stack) in text.get_content()
