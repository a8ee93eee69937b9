"""The console provider's files and the page that shows them."""

import logging
from io import BytesIO
from pathlib import Path

import pytest
import zxingcpp
from django.core.mail import EmailMultiAlternatives, get_connection
from django.test import Client
from PIL import Image
from pytest_django import Settings

from tests.helpers.example_emails import GUEST_URL, QR_ID, example_message


@pytest.fixture
def folder(tmp_path: Path, settings: Settings) -> Path:
    settings.EMAIL_BACKEND = "notifications.inbox.InboxBackend"
    settings.INBOX_PAGE = True
    settings.INBOX_DIR = tmp_path / "inbox"
    return tmp_path / "inbox"


def keep(message: EmailMultiAlternatives, folder: Path) -> str:
    """Send a message to the inbox and return its name there."""
    before = set(folder.glob("*.eml"))
    assert get_connection().send_messages([message]) == 1
    (path,) = set(folder.glob("*.eml")) - before
    return path.stem


def keep_qr(folder: Path) -> str:
    return keep(example_message("qr_code"), folder)


def test_it_keeps_a_message_and_logs_no_address(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    name = keep_qr(folder)
    assert [path.name for path in folder.iterdir()] == [f"{name}.eml"]
    assert caplog.messages == ["email_in_inbox"]
    assert "example.pt" not in str(vars(caplog.records[0]))


def test_the_list_shows_the_newest_first(folder: Path, client: Client) -> None:
    for subject in ("First", "Second"):
        keep(EmailMultiAlternatives(subject, "text", to=["ana@example.pt"]), folder)
    page = client.get("/inbox/").content.decode()
    assert 0 < page.index("Second") < page.index("First")


def test_the_list_is_served_before_the_first_email(folder: Path, client: Client) -> None:
    assert client.get("/inbox/").status_code == 200


def test_a_message_shows_its_headers_its_text_and_its_html_in_a_frame(
    folder: Path, client: Client
) -> None:
    name = keep_qr(folder)
    response = client.get(f"/inbox/{name}/")
    page = response.content.decode()
    assert "Your QR code for Noite de São João" in page
    assert "ines@example.pt" in page
    assert "Come 15 minutes early." in page
    assert f'src="/inbox/{name}/html/"' in page
    assert 'sandbox="allow-popups allow-popups-to-escape-sandbox"' in page
    policy = response["Content-Security-Policy"]
    assert "frame-src 'self'" in policy
    assert "unsafe-inline" not in policy
    assert response["X-Frame-Options"] == "DENY"


def test_the_html_may_only_be_framed_by_the_inbox_and_runs_no_script(
    folder: Path, client: Client
) -> None:
    name = keep_qr(folder)
    response = client.get(f"/inbox/{name}/html/")
    policy = response["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "style-src 'unsafe-inline'" in policy
    assert "script-src" not in policy
    assert "frame-ancestors 'self'" in policy
    assert "sandbox allow-popups" in policy
    assert response["X-Frame-Options"] == "SAMEORIGIN"
    assert f'src="/inbox/{name}/{QR_ID}"' in response.content.decode()


def test_its_inline_image_is_served_and_scans(folder: Path, client: Client) -> None:
    response = client.get(f"/inbox/{keep_qr(folder)}/{QR_ID}")
    assert response["Content-Type"] == "image/png"
    # A sandboxed frame has no origin. With the header of the other pages the image stays empty.
    assert response["Cross-Origin-Resource-Policy"] == "cross-origin"
    (code,) = zxingcpp.read_barcodes(Image.open(BytesIO(response.content)).resize((240, 240)))
    assert code.text == GUEST_URL


def test_only_pngs_are_served(folder: Path, client: Client) -> None:
    message = EmailMultiAlternatives("Hi", "text", to=["ana@example.pt"])
    message.attach("x.html", "<script>alert(1)</script>", "text/html")
    name = keep(message, folder)
    assert client.get(f"/inbox/{name}/x.html").status_code == 404


def test_a_script_in_a_subject_does_not_run(folder: Path, client: Client) -> None:
    name = keep(EmailMultiAlternatives("<script>alert(1)</script>", "<script>x"), folder)
    for url in ("/inbox/", f"/inbox/{name}/"):
        assert "<script>" not in client.get(url).content.decode()


def test_a_message_without_html_shows_its_text(folder: Path, client: Client) -> None:
    name = keep(EmailMultiAlternatives("Hi", "only text", to=["ana@example.pt"]), folder)
    assert "only text" in client.get(f"/inbox/{name}/").content.decode()
    assert client.get(f"/inbox/{name}/html/").content == b""


@pytest.mark.parametrize(
    "name",
    [
        "..",
        "..%2f..%2fsecret",
        "%2e%2e",
        "secret",
        "..%5csecret",
        "/etc/passwd",
        "20270101T000000000000-00000000",
        "20270101T000000000000-00000000%0a",
        "%2fetc%2fpasswd",
    ],
)
@pytest.mark.parametrize("rest", ["", "html/", QR_ID])
def test_no_name_leads_out_of_the_folder(
    folder: Path, client: Client, name: str, rest: str
) -> None:
    folder.mkdir()
    (folder / "secret.eml").write_text("Subject: secret")
    (folder.parent / "secret.eml").write_text("Subject: secret")
    assert client.get(f"/inbox/{name}/{rest}").status_code == 404


@pytest.mark.parametrize("url", ["/inbox/a%00b/", "/inbox/a%00b/html/", "/inbox/a/%00"])
def test_null_bytes_are_refused(folder: Path, client: Client, url: str) -> None:
    assert client.get(url).status_code in {400, 404}


@pytest.mark.parametrize("rest", ["", "{name}/", "{name}/html/", f"{{name}}/{QR_ID}"])
def test_there_is_no_page_unless_the_provider_is_the_console(
    folder: Path, client: Client, settings: Settings, rest: str
) -> None:
    url = "/inbox/" + rest.format(name=keep_qr(folder))
    assert client.get(url).status_code == 200
    assert client.post(url).status_code == 405
    settings.INBOX_PAGE = False
    assert client.get(url).status_code == 404
