"""The SMTP transport: connections that are kept, and what each error says about a message."""

import smtplib
import ssl
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from django.core.mail import EmailMessage

import notifications.smtp as transport
from notifications.smtp import ResponseLost, SMTPBackend, kept
from tests.helpers.scripted_smtp import CUT, SILENCE, TEXT, Script, ScriptedServer, playing
from tests.helpers.stack import wait_for

MESSAGE = EmailMessage("Hello", ".\n.a\nb", "SNAP <no-reply@snap.example>", ["ana@example.pt"])


def usual(_command: str) -> str:
    return ""


def replying(**replies: str) -> Script:
    """Return a script with these replies to commands, by their first word, and `TEXT`."""
    return lambda command: replies.get(command.partition(" ")[0].upper(), "")


def replying_in_turn(word: str, *replies: str) -> Script:
    """Return a script that gives each of these replies to a command once, in turn."""
    left = list(replies)

    def script(command: str) -> str:
        if command.partition(" ")[0].upper() == word and left:
            return left.pop(0)
        return ""

    return script


def backend_for(server: ScriptedServer) -> SMTPBackend:
    return SMTPBackend(host="127.0.0.1", port=server.port, username="", password="", timeout=5)


def send(server: ScriptedServer, count: int = 1) -> None:
    """Send messages, each as a batch of its own."""
    for _ in range(count):
        backend_for(server).send_messages([MESSAGE])


@pytest.fixture(autouse=True)
def _no_kept_connections() -> Iterator[None]:
    kept.clear()
    yield
    kept.clear()


@pytest.mark.parametrize("extensions", ["PIPELINING", "8BITMIME"])
def test_messages_of_several_batches_go_over_one_connection(extensions: str) -> None:
    with playing(usual, extensions=extensions) as server:
        send(server, 3)
        assert len(server.texts) == 3
        assert len(server.connections) == 1
        assert server.has_pipelined is (extensions == "PIPELINING")


def test_a_text_arrives_as_it_is_with_dots_before_its_lines() -> None:
    with playing(usual) as server:
        send(server)
    head, _, body = server.texts[0].partition(b"\r\n\r\n")
    assert body == b".\r\n.a\r\nb\r\n"
    assert b"Subject: Hello" in head


def test_the_envelope_has_addresses_without_names() -> None:
    with playing(usual) as server:
        send(server)
        _ehlo, mail, rcpt, data = server.connections[0]
    assert (mail, rcpt, data) == (
        "mail FROM:<no-reply@snap.example>",
        "rcpt TO:<ana@example.pt>",
        "data",
    )


# What errors say -------------------------------------------------------------------------------


@pytest.mark.parametrize("reply", [CUT, f"250-part|{CUT}", "354 more", "what", "99", "2x0 OK"])
def test_a_lost_reply_to_the_text_says_that_the_server_may_have_it(reply: str) -> None:
    with playing(replying(TEXT=reply)) as server, pytest.raises(ResponseLost):
        send(server)
    assert len(server.connections) == 1


def test_no_reply_to_the_text_in_time_says_that_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "TEXT_SECONDS", 0.1)
    with playing(replying(TEXT=SILENCE)) as server, pytest.raises(ResponseLost):
        send(server)


@pytest.mark.parametrize("extensions", ["PIPELINING", ""])
@pytest.mark.parametrize("word", ["CONNECT", "EHLO", "MAIL", "RCPT", "DATA"])
def test_a_connection_that_ends_before_the_text_says_that_nothing_was_accepted(
    word: str, extensions: str
) -> None:
    with (
        playing(replying(**{word: CUT}), extensions=extensions) as server,
        pytest.raises(smtplib.SMTPServerDisconnected) as caught,
    ):
        send(server)
    assert not isinstance(caught.value, ResponseLost)
    assert server.texts == []


@pytest.mark.parametrize("extensions", ["PIPELINING", ""])
@pytest.mark.parametrize(
    ("word", "reply", "error"),
    [
        ("CONNECT", "554 no", smtplib.SMTPConnectError),
        ("MAIL", "550 5.7.1 no", smtplib.SMTPSenderRefused),
        ("RCPT", "550 5.1.1 no", smtplib.SMTPRecipientsRefused),
        ("RCPT", "451 4.3.0 later", smtplib.SMTPRecipientsRefused),
        ("DATA", "451 4.3.0 later", smtplib.SMTPDataError),
        ("TEXT", "554 5.7.1 spam", smtplib.SMTPDataError),
        ("TEXT", "451 4.7.0 later", smtplib.SMTPDataError),
    ],
)
def test_a_refusal_has_the_code_of_the_reply(
    word: str, reply: str, error: type[Exception], extensions: str
) -> None:
    with playing(replying(**{word: reply}), extensions=extensions) as server:
        with pytest.raises(error) as caught:
            send(server)
        assert reply[:3] in str(caught.value)
        assert server.texts == []


def test_a_silent_server_is_left_in_time() -> None:
    with playing(replying(RCPT=SILENCE)) as server:
        backend = backend_for(server)
        backend.timeout = 0.1
        with pytest.raises(TimeoutError):
            backend.send_messages([MESSAGE])


def test_a_server_that_drips_its_reply_is_left_in_time() -> None:
    def drip(command: str) -> str:
        if command.startswith("rcpt"):
            time.sleep(0.05)
            return "250-a|" * 3 + CUT
        return ""

    with playing(drip) as server:
        backend = backend_for(server)
        backend.timeout = 0.02
        with pytest.raises(TimeoutError):
            backend.send_messages([MESSAGE])


def test_a_refused_message_does_not_disturb_the_next_one() -> None:
    with playing(replying_in_turn("RCPT", "550 5.1.1 no")) as server:
        with pytest.raises(smtplib.SMTPRecipientsRefused):
            send(server)
        send(server)
    assert len(server.texts) == 1


def test_no_text_follows_a_refused_recipient_even_if_the_server_asks_for_it() -> None:
    with playing(replying(RCPT="550 no", DATA="354 go ahead")) as server:
        with pytest.raises(smtplib.SMTPRecipientsRefused):
            send(server)
        assert wait_for(lambda: server.connections[0][-1:] == ["data"])
    assert server.texts == []


# Encryption and sign-in -------------------------------------------------------------------------


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of a key and its certificate for 127.0.0.1."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "mail server")])
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), 1, now, now + timedelta(days=1))
    names = x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))])
    signed = builder.add_extension(names, critical=False).sign(key, hashes.SHA256())
    text = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    path = tmp_path_factory.mktemp("tls") / "server.pem"
    path.write_bytes(text + signed.public_bytes(Encoding.PEM))
    return path


def secure(server: ScriptedServer, certificate: Path) -> SMTPBackend:
    """Return a backend with STARTTLS that knows the server's certificate, and signs in."""
    server.extensions = ["STARTTLS", "PIPELINING", "AUTH PLAIN"]
    server.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.tls.load_cert_chain(certificate)
    backend = SMTPBackend(
        host="127.0.0.1", port=server.port, username="u", password="p", use_tls=True, timeout=5
    )
    # Django's property, which is computed once.
    vars(backend)["ssl_context"] = ssl.create_default_context(cafile=certificate)
    return backend


def test_a_connection_is_encrypted_before_it_signs_in_and_is_kept(certificate: Path) -> None:
    with playing(replying(AUTH="235 2.7.0 welcome")) as server:
        for _ in range(2):
            secure(server, certificate).send_messages([MESSAGE])
        assert len(server.texts) == 2
        (commands,) = server.connections
        words = [command.partition(" ")[0].lower() for command in commands]
        assert words[:4] == ["ehlo", "starttls", "ehlo", "auth"]


def test_a_server_with_an_unknown_certificate_gets_nothing(certificate: Path) -> None:
    with playing(usual) as server:
        backend = secure(server, certificate)
        vars(backend)["ssl_context"] = ssl.create_default_context()
        with pytest.raises(ssl.SSLCertVerificationError):
            backend.send_messages([MESSAGE])
        assert server.texts == []


def test_a_server_without_encryption_gets_nothing(certificate: Path) -> None:
    with playing(usual) as server:
        backend = secure(server, certificate)
        server.extensions = ["AUTH PLAIN"]
        with pytest.raises(smtplib.SMTPNotSupportedError):
            backend.send_messages([MESSAGE])
        assert server.texts == []


def test_what_a_server_says_before_the_encryption_is_not_read_after_it(certificate: Path) -> None:
    with playing(replying(STARTTLS="220 go\r\n250 injected")) as server:
        backend = secure(server, certificate)
        with pytest.raises(OSError, match=r"before its turn"):
            backend.send_messages([MESSAGE])


def test_a_refused_sign_in_says_so(certificate: Path) -> None:
    script = replying(AUTH="535 5.7.8 no")
    with playing(script) as server, pytest.raises(smtplib.SMTPAuthenticationError):
        secure(server, certificate).send_messages([MESSAGE])


def test_a_password_that_cannot_be_sent_is_a_refused_sign_in(certificate: Path) -> None:
    with playing(usual) as server:
        backend = secure(server, certificate)
        backend.password = "palavra-passe é"
        with pytest.raises(smtplib.SMTPAuthenticationError):
            backend.send_messages([MESSAGE])


# Connections that are kept ---------------------------------------------------------------------


@pytest.mark.parametrize("word", ["MAIL", "RCPT", "DATA", "TEXT"])
def test_a_server_that_limits_the_messages_of_a_connection_gets_the_next_one_over_a_new_one(
    word: str,
) -> None:
    script = replying_in_turn(word, "", "421 4.7.0 too many messages", "", "")
    with playing(script) as server:
        send(server, 3)
        assert len(server.texts) == 3
        assert len(server.connections) == 2


def test_a_new_connection_that_is_refused_with_421_is_not_tried_again() -> None:
    with playing(replying(MAIL="421 4.3.2 closing")) as server:
        with pytest.raises(smtplib.SMTPSenderRefused):
            send(server)
        assert len(server.connections) == 1


def test_a_connection_that_the_server_has_ended_meanwhile_is_not_used() -> None:
    with playing(replying(TEXT=f"250 OK|421 4.4.2 idle|{CUT}")) as server:
        send(server)
        assert wait_for(lambda: server.ended == 1)
        send(server)
        assert len(server.texts) == 2


def test_a_lost_reply_is_not_tried_again_over_a_new_connection() -> None:
    with playing(replying_in_turn(TEXT, "", CUT)) as server:
        send(server)
        with pytest.raises(ResponseLost):
            send(server)
        assert len(server.connections) == 1
        assert len(server.texts) == 2


def test_a_connection_that_was_unused_for_long_is_asked_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(transport, "NOOP_AFTER_SECONDS", 0.0)
    with playing(replying_in_turn("NOOP", "", "421 4.4.2 idle")) as server:
        send(server, 3)
        assert "noop" in server.connections[0]
        assert len(server.connections) == 2
        assert len(server.texts) == 3


def test_an_unused_connection_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "IDLE_SECONDS", 0.05)
    with playing(usual) as server:
        send(server)
        assert wait_for(lambda: server.connections[0][-1] == "quit")


def test_two_batches_at_once_use_two_connections() -> None:
    with playing(usual) as server:
        first, second = backend_for(server), backend_for(server)
        for backend in (first, second):
            backend.open()
        for backend in (first, second):
            backend.send_messages([MESSAGE])
            backend.close()
        assert len(server.connections) == 2
        send(server, 2)
        assert len(server.connections) == 2


def test_connections_to_other_servers_and_users_are_others() -> None:
    with playing(usual) as server, playing(usual) as other:
        send(server)
        send(other)
        assert (len(server.texts), len(other.texts)) == (1, 1)


def test_a_lot_of_text_in_a_reply_ends_the_connection() -> None:
    lines: Callable[[str], str] = replying(EHLO="|".join(["250-" + "x" * 900] * 200))
    with playing(lines) as server, pytest.raises(OSError, match="too long"):
        send(server)
