"""Emails as they arrive: their parts, their languages, and a QR code that scans."""

import logging
import re
from email.message import EmailMessage
from io import BytesIO
from typing import Any

import pytest
import zxingcpp
from django.core.mail import get_connection
from PIL import Image
from pytest_django import Settings

from notifications.kinds import known_kinds
from tests.helpers.example_emails import CONTEXTS, GUEST_URL, QR_ID, example_message
from tests.helpers.mail_servers import Sink


def receive(sink: Sink, kind: str, language: str = "pt-pt", **context: Any) -> EmailMessage:
    """Send one email through the mail server and return it as it arrived."""
    get_connection().send_messages([example_message(kind, language, **context)])
    return sink.messages[-1]


def body(message: EmailMessage, subtype: str) -> str:
    part = message.get_body((subtype,))
    assert part is not None
    content: str = part.get_content()
    return content


def test_every_registered_kind_is_sent_as_text_and_html() -> None:
    """The tests below send the kinds that have an example in CONTEXTS."""
    only_in_tests = {"note", "bulk_note"}
    assert set(known_kinds()) - only_in_tests == set(CONTEXTS)


@pytest.mark.parametrize("language", ["pt-pt", "en"])
@pytest.mark.parametrize("kind", CONTEXTS)
def test_every_kind_arrives_as_text_and_html(sink: Sink, kind: str, language: str) -> None:
    message = receive(sink, kind, language)
    text, html = body(message, "plain"), body(message, "html")
    assert message["To"] == "ines@example.pt"
    assert message["From"] == "SNAP <no-reply@snap.example>"
    assert message["Auto-Submitted"] == "auto-generated"
    greeting = "Olá, Inês," if language == "pt-pt" else "Hi Inês,"
    assert greeting in text
    assert greeting in html
    assert f'<html lang="{language}">' in html
    for name, value in CONTEXTS[kind].items():
        if str(value).startswith("https:") and name not in {"event_url", "unsubscribe_url"}:
            assert value in html
    assert "data:" not in html


def test_subjects_are_in_the_rows_language(sink: Sink) -> None:
    subjects = {
        (kind, language): receive(sink, kind, language)["Subject"].strip()
        for kind in CONTEXTS
        for language in ("pt-pt", "en")
    }
    assert subjects == {
        ("welcome", "pt-pt"): "Damos-te as boas-vindas ao SNAP",
        ("welcome", "en"): "Welcome to SNAP",
        ("email_changed", "pt-pt"): "O teu email no SNAP",
        ("email_changed", "en"): "Your email at SNAP",
        ("claim", "pt-pt"): "Este número ainda é teu?",
        ("claim", "en"): "Is this still your number?",
        ("claim_decided", "pt-pt"): "O número é teu",
        ("claim_decided", "en"): "The number is yours",
        ("login_code", "pt-pt"): "048213 é o teu código SNAP",
        ("login_code", "en"): "048213 is your SNAP code",
        ("qr_code", "pt-pt"): "O teu código QR para Noite de São João",
        ("qr_code", "en"): "Your QR code for Noite de São João",
        ("event_changed", "pt-pt"): "Há uma mudança: Noite de São João",
        ("event_changed", "en"): "There is a change: Noite de São João",
        ("event_cancelled", "pt-pt"): "Cancelado: Noite de São João",
        ("event_cancelled", "en"): "Cancelled: Noite de São João",
        ("place_to_prove", "pt-pt"): (
            "Há um lugar livre: falta um passo para o teu código QR de Noite de São João"
        ),
        ("place_to_prove", "en"): (
            "A place has become free: one step to your QR code for Noite de São João"
        ),
        ("reminder", "pt-pt"): "Noite de São João: quarta-feira, 23 de junho de 2027, 23:30",
        ("reminder", "en"): "Noite de São João: Wednesday, 23 June 2027, 23:30",
        ("list_message", "pt-pt"): "Portas às 23:00",
        ("list_message", "en"): "Portas às 23:00",
        ("waitlisted", "pt-pt"): "Estás na lista de espera para Noite de São João",
        ("waitlisted", "en"): "You are on the waiting list for Noite de São João",
    }


@pytest.mark.parametrize("language", ["pt-pt", "en"])
@pytest.mark.parametrize("is_claimant", [True, False], ids=["claimant", "holder"])
def test_each_side_of_each_decision_reads_its_own_text(
    sink: Sink, language: str, is_claimant: bool
) -> None:
    states = ["granted", "refused", "undone"]
    messages = [
        receive(sink, "claim_decided", language, state=state, is_claimant=is_claimant)
        for state in states
    ]
    assert len({message["Subject"] for message in messages}) == 3
    assert len({body(message, "plain") for message in messages}) == 3
    for message in messages:
        assert message["Subject"].strip() in body(message, "html")
        assert "+351 961 … 67" in body(message, "plain")


def test_the_qr_code_is_an_inline_image_that_scans(sink: Sink) -> None:
    message = receive(sink, "qr_code")
    assert message.get_content_type() == "multipart/related"
    alternative, image = message.iter_parts()
    assert alternative.get_content_type() == "multipart/alternative"
    assert [part.get_content_type() for part in alternative.iter_parts()] == [
        "text/plain",
        "text/html",
    ]
    assert image["Content-ID"] == f"<{QR_ID}>"
    assert image.get_content_disposition() == "inline"
    assert image.get_filename() == "qr.png"
    assert f'src="cid:{QR_ID}"' in body(message, "html")
    shown = Image.open(BytesIO(image.get_content())).resize((240, 240))
    (code,) = zxingcpp.read_barcodes(shown)
    assert code.text == GUEST_URL


def test_each_message_has_ids_of_its_own(sink: Sink, settings: Settings) -> None:
    """Some mailboxes show the image of the first message that they know by an id."""
    for number in (1, 2):
        get_connection().send_messages([example_message("qr_code", number=number)])
    received = sink.messages[-2:]
    ids = [part["Content-ID"] for message in received for part in message.walk()]
    found = [content_id for content_id in ids if content_id]
    assert len(set(found)) == len(found) == 2
    for message, content_id in zip(received, found, strict=True):
        assert re.fullmatch(r"<[\w.-]+@[\w.-]+>", content_id)
        assert body(message, "html").count(f"cid:{content_id.strip('<>')}") == 1
    settings.PUBLIC_URL = "http://[2001:db8::7]:8000"
    with_address = example_message("qr_code").message()
    domains = re.findall(r"@([^>]*)>", f"{with_address['Message-ID']} {_image_of(with_address)}")
    assert domains == ["2001-db8--7"] * 2


def _image_of(message: EmailMessage) -> str:
    (content_id,) = filter(None, [part["Content-ID"] for part in message.walk()])
    return str(content_id)


def test_the_qr_email_says_what_to_do_and_when_in_the_events_own_zone(sink: Sink) -> None:
    portuguese, english = receive(sink, "qr_code"), receive(sink, "qr_code", "en")
    for subtype in ("plain", "html"):
        text = body(english, subtype)
        for line in (
            "Show your QR code at the entrance.",
            "Come 15 minutes early.",
            "Bring identification.",
            "Wednesday, 23 June 2027",
            "23:30 (Atlantic/Azores) · Armazém do Cais",
        ):
            assert line in text
        text = body(portuguese, subtype)
        for line in (
            "Mostra o teu código QR à entrada.",
            "Chega 15 minutos antes.",
            "Traz um documento de identificação.",
            "Quarta-feira, 23 de junho de 2027",
        ):
            assert line in text


def test_the_email_of_a_promoted_guest_says_that_a_place_became_free(sink: Sink) -> None:
    sentence = "A place has become free, and it is yours."
    promoted = receive(sink, "qr_code", "en", from_waiting_list=True)
    registered = receive(sink, "qr_code", "en")
    for subtype in ("plain", "html"):
        assert sentence in body(promoted, subtype)
        assert sentence not in body(registered, subtype)


def test_the_code_is_in_the_subject_and_in_the_body(sink: Sink) -> None:
    message = receive(sink, "login_code")
    html = body(message, "html")
    assert "048213" in message["Subject"]
    assert "048213" in body(message, "plain")
    preview = html[html.index("display: none") : html.index("<table")]
    assert "048213" not in preview


def test_names_and_titles_are_escaped_once(sink: Sink) -> None:
    hostile = "<script>alert(1)</script> & co"
    message = receive(sink, "qr_code", first_name=hostile, event_title=hostile)
    html = body(message, "html")
    assert "<script>" not in html
    assert "&lt;script&gt;alert(1)&lt;/script&gt; &amp; co" in html
    assert "&amp;amp;" not in html
    assert "&amp;lt;" not in html
    assert hostile in body(message, "plain")
    assert hostile in message["Subject"]


def test_names_and_titles_cannot_inject_headers(sink: Sink) -> None:
    hostile = "Festa\r\nBcc: rui@example.pt\r\n\r\n<h1>"
    message = receive(sink, "qr_code", first_name=hostile, event_title=hostile)
    assert message["Bcc"] is None
    assert sink.recipients == ["ines@example.pt"]
    assert "\n" not in message["Subject"]


def test_a_kind_can_have_a_sender_of_its_own(sink: Sink, settings: Settings) -> None:
    settings.EMAIL_SENDERS = {"login_code": "SNAP codes <codes@snap.example>"}
    assert receive(sink, "login_code")["From"] == "SNAP codes <codes@snap.example>"
    assert receive(sink, "welcome")["From"] == "SNAP <no-reply@snap.example>"


def test_rendering_logs_nothing(sink: Sink, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    receive(sink, "login_code")
    assert not caplog.records
