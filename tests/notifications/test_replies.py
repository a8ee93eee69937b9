"""What each answer of a mail server or an API says about the fate of an email."""

import smtplib
import ssl
import time
from email.utils import formatdate

import pytest
import requests
from anymail.exceptions import AnymailConfigurationError, AnymailRequestsAPIError
from urllib3.exceptions import MaxRetryError, NewConnectionError, ProtocolError, ReadTimeoutError

from notifications.replies import Fate, code_of, fate_of, fate_of_reply, is_ours, retry_after
from notifications.smtp import ResponseLost

REFUSED, FAILED, UNAVAILABLE = Fate.REFUSED, Fate.FAILED, Fate.UNAVAILABLE
MENDING, UNSURE, LIMITED = Fate.NEEDS_MENDING, Fate.UNSURE, Fate.LIMITED

# Replies as the providers document them, shortened.
REPLIES = [
    # Gmail
    ("421 4.3.0 Temporary System Problem", UNAVAILABLE),
    ("421 4.7.0 IP not in whitelist for RCPT domain, closing connection", UNAVAILABLE),
    ("421 4.7.28 unusual rate of unsolicited mail from your IP", UNAVAILABLE),
    ("450 4.2.1 The user is receiving mail too quickly", FAILED),
    ("450 4.7.1 greylisted, try again later", FAILED),
    ("451 4.7.24 The SPF record of the sending domain is suspicious", FAILED),
    ("451 4.4.2 Timeout", FAILED),
    ("452 4.2.2 The account is over quota", FAILED),
    ("452 4.3.1 insufficient system storage", UNAVAILABLE),
    ("530 5.5.1 Authentication Required", MENDING),
    ("530 5.7.0 Must issue a STARTTLS command first", MENDING),
    ("534 5.7.9 Application-specific password required", MENDING),
    ("535 5.7.8 Username and Password not accepted", MENDING),
    ("550 5.1.1 The account does not exist", REFUSED),
    ("550 5.2.1 The account is disabled", REFUSED),
    ("550 5.4.5 Daily user sending quota exceeded", MENDING),
    ("550 5.7.1 The message is likely unsolicited mail", REFUSED),
    ("550 5.7.25 The IP address has no PTR record", MENDING),
    ("550 5.7.26 This mail is unauthenticated", MENDING),
    ("550 5.7.27 SPF did not pass", MENDING),
    ("550 5.7.29 The connection is not encrypted", MENDING),
    ("550 5.7.30 DKIM did not pass", MENDING),
    ("552 5.2.2 The account is over quota", REFUSED),
    ("552 5.3.4 The message exceeds the size limit", REFUSED),
    ("553 5.1.2 The domain of the recipient cannot be found", REFUSED),
    ("553 5.1.7 The sender address is not valid", MENDING),
    ("554 5.6.0 The message is malformed", REFUSED),
    # Outlook
    ("451 4.7.500 Server busy", FAILED),
    ("451 4.7.650 The mail server has been temporarily rate limited", FAILED),
    ("550 5.1.8 Access denied, bad outbound sender", MENDING),
    ("550 5.1.10 RESOLVER.ADR.RecipientNotFound", REFUSED),
    ("550 5.4.1 Recipient address rejected: Access denied", REFUSED),
    ("550 5.7.57 Client was not authenticated to send mail", MENDING),
    ("550 5.7.60 Client does not have permissions to send as this sender", MENDING),
    ("550 5.7.64 TenantAttribution; Relay Access Denied", MENDING),
    ("550 5.7.501 Access denied, spam abuse detected", MENDING),
    ("550 5.7.509 Access denied, sending domain does not pass DMARC", MENDING),
    ("550 5.7.515 Access denied, sending domain lacks authentication", MENDING),
    ("550 5.7.606 Access denied, banned sending IP", MENDING),
    ("550 5.7.708 Access denied, traffic not accepted from this IP", MENDING),
    # Yahoo
    ("421 4.7.0 [TSS04] Messages temporarily deferred", UNAVAILABLE),
    ("554 5.7.9 Message not accepted for policy reasons", MENDING),
    ("554 delivery error: This user doesn't have an account", REFUSED),
    # Relays
    ("554 5.7.1 Relay access denied", MENDING),
    ("550 relay not permitted", MENDING),
    ("550 5.7.1 Unable to relay", MENDING),
    ("550 5.7.1 <ana@mail.pt>... Relaying denied", MENDING),
    ("551 we do not relay", MENDING),
    ("421 Service not available", UNAVAILABLE),
    ("450 later", FAILED),
    ("550 no such user", REFUSED),
    # Words in addresses and names of servers, which are not about us.
    ("550 5.1.1 <relay@mail.pt>: Recipient address rejected: User unknown", REFUSED),
    ("550 5.1.1 Relay denied for an unknown user", REFUSED),
    ("550 <relay@mail.pt> is not known here", REFUSED),
    ("550 relay.denied@mail.pt is not known here", REFUSED),
    ("550 5.7.1 relay.mail.pt does not want this message", REFUSED),
    # Not an enhanced code.
    ("550 version 5.7.26.1 of our policy", REFUSED),
]


def parts(reply: str) -> tuple[int, bytes]:
    code, _, text = reply.partition(" ")
    return int(code), text.encode()


@pytest.mark.parametrize(("reply", "fate"), REPLIES)
def test_each_smtp_reply_has_its_fate(reply: str, fate: Fate) -> None:
    code, text = parts(reply)
    assert fate_of_reply(code, text) is fate
    assert fate_of(smtplib.SMTPDataError(code, text)) is fate
    assert fate_of(smtplib.SMTPRecipientsRefused({"ana@example.pt": (code, text)})) is fate


@pytest.mark.parametrize("kind", [smtplib.SMTPAuthenticationError, smtplib.SMTPConnectError])
@pytest.mark.parametrize(("reply", "_fate"), REPLIES)
def test_what_comes_before_the_recipient_is_never_about_the_email(
    kind: type[smtplib.SMTPResponseException], reply: str, _fate: Fate
) -> None:
    assert fate_of(kind(*parts(reply))) in {UNAVAILABLE, MENDING}
    assert fate_of(smtplib.SMTPSenderRefused(*parts(reply), "a@b.pt")) in {UNAVAILABLE, MENDING}


def test_all_codes_about_our_domain_are_ours() -> None:
    assert all(is_ours(f"5.7.{number}") for number in range(20, 32))
    assert not any(is_ours(f"5.7.{number}") for number in (0, 1, 2, 19, 32, 500, 516, 605, 650))
    assert not any(is_ours(code) for code in ("", "5.1.1", "5.2.2", "4.7.26", "5.70.26"))


def api_error(status: int, text: str = "", **headers: str) -> AnymailRequestsAPIError:
    response = requests.Response()
    response.status_code = status
    response._content = text.encode()
    response.headers.update({name.replace("_", "-"): value for name, value in headers.items()})
    return AnymailRequestsAPIError("it failed", response=response)


@pytest.mark.parametrize(
    ("status", "text", "fate"),
    [
        (400, '{"name": "validation_error", "message": "Invalid `to` field"}', REFUSED),
        (400, '{"name": "validation_error", "message": "API key is invalid"}', MENDING),
        (400, "to parameter is not a valid address. please check documentation", REFUSED),
        (400, "from parameter is not a valid address. please check documentation", MENDING),
        (401, "", MENDING),
        (402, "", MENDING),
        (403, "The from address does not match a verified Sender Identity", MENDING),
        (404, "Domain not found: mg.snap.example", MENDING),
        (408, "", UNSURE),
        (409, '{"name": "concurrent_idempotent_requests"}', UNSURE),
        (413, "", REFUSED),
        (422, '{"name": "invalid_parameter"}', REFUSED),
        (422, '{"name": "invalid_from_address"}', MENDING),
        (422, '{"name":"validation_error","message":"invalid_from_address@mail.pt"}', REFUSED),
        (400, "The from email does not contain a valid address.", MENDING),
        (429, '{"name": "rate_limit_exceeded"}', LIMITED),
        (429, '{"name": "daily_quota_exceeded"}', LIMITED),
        (500, "", UNSURE),
        (501, "", UNAVAILABLE),
        (502, "", UNSURE),
        (503, "", UNAVAILABLE),
        (504, "", UNSURE),
        (200, "not JSON", UNSURE),
        (301, "", UNAVAILABLE),
    ],
)
def test_each_http_status_has_its_fate(status: int, text: str, fate: Fate) -> None:
    error = api_error(status, text)
    assert fate_of(error) is fate
    assert code_of(error) == str(status)


def test_a_known_key_with_other_contents_was_accepted_earlier() -> None:
    error = api_error(409, '{"name": "invalid_idempotent_request"}')
    assert fate_of(error, is_known_by_key=True) is Fate.ACCEPTED
    assert fate_of(error) is UNSURE


def connection_error(cause: Exception) -> Exception:
    """Return anymail's error for an error of a connection."""
    kind = type("AnymailRequestsAPIError", (AnymailRequestsAPIError, type(cause)), {})
    error: Exception = kind("it failed")
    error.__cause__ = cause
    return error


POOL: object = None


@pytest.mark.parametrize(
    ("cause", "fate"),
    [
        (requests.ConnectTimeout(), UNAVAILABLE),
        (
            requests.ConnectionError(
                MaxRetryError(POOL, "/", NewConnectionError(POOL, "refused"))  # type: ignore[arg-type]
            ),
            UNAVAILABLE,
        ),
        (requests.exceptions.ProxyError(), UNAVAILABLE),
        (requests.exceptions.SSLError(ssl.SSLCertVerificationError("expired")), UNAVAILABLE),
        (requests.exceptions.SSLError(ssl.SSLEOFError("EOF occurred")), UNSURE),
        (requests.ReadTimeout(ReadTimeoutError(POOL, "/", "slow")), UNSURE),  # type: ignore[arg-type]
        (requests.ConnectionError(ProtocolError("aborted", ConnectionResetError())), UNSURE),
        (requests.exceptions.ChunkedEncodingError(), UNSURE),
        (requests.exceptions.ContentDecodingError(), UNSURE),
    ],
)
def test_a_connection_without_a_response_has_its_fate(cause: Exception, fate: Fate) -> None:
    assert fate_of(connection_error(cause)) is fate


@pytest.mark.parametrize(
    ("error", "fate"),
    [
        (ResponseLost(), UNSURE),
        (ConnectionRefusedError(), UNAVAILABLE),
        (TimeoutError(), UNAVAILABLE),
        (ssl.SSLError(), UNAVAILABLE),
        (smtplib.SMTPServerDisconnected(), UNAVAILABLE),
        (smtplib.SMTPNotSupportedError(), MENDING),
        (AnymailConfigurationError(), MENDING),
        (KeyError(), FAILED),
    ],
)
def test_other_errors_have_their_fates(error: Exception, fate: Fate) -> None:
    assert fate_of(error) is fate


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"Retry_After": "7"}, 7.0),
        ({"ratelimit_reset": "1"}, 1.0),
        ({"Retry_After": formatdate(time.time() + 30)}, 30.0),
        ({"Retry_After": formatdate(time.time() - 30)}, 0.0),
        ({"X_RateLimit_Reset": f"{time.time() + 20:.0f}"}, 20.0),
        ({"Retry_After": "-3"}, None),
        ({"Retry_After": "soon"}, None),
        ({}, None),
    ],
)
def test_it_reads_how_long_to_wait(headers: dict[str, str], seconds: float | None) -> None:
    # The module was loaded up to a minute ago.
    assert retry_after(api_error(429, **headers)) == pytest.approx(seconds, abs=60)
