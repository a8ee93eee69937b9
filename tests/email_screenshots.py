"""Take the pictures of emails in docs/screenshots: as a phone shows them, light and dark.

    python -m tests.email_screenshots

It needs Chromium, and no server. The event and the guest are invented.
"""

import os
import shutil
from base64 import b64encode
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path

import django
from PIL import Image
from playwright.sync_api import Browser, sync_playwright

from tests.helpers.generated import write_generated

FOLDER = Path(__file__).resolve().parent.parent / "docs" / "screenshots"
# The size of the other pictures.
SCREEN = {"viewport": {"width": 390, "height": 844}, "device_scale_factor": 1.5}
# By file: the kind, the example, the language and the colour scheme.
PICTURES = {
    "email-qr": ("qr_code", "usual", "pt-pt", "light"),
    "email-qr-dark": ("qr_code", "promoted", "en", "dark"),
    "email-changed": ("event_changed", "moved", "pt-pt", "light"),
    "email-code-dark": ("login_code", "usual", "pt-pt", "dark"),
}


def html_of(kind: str, name: str, language: str) -> str:
    """Return the HTML of an example, with all its images in it."""
    from django.utils.translation import override

    from guests.event_values import poster_url
    from guests.models import Event
    from notifications.messages import make_message
    from notifications.models import Email
    from notifications.previews import make_samples
    from tests.helpers.email_screens import ExampleEmail

    start = datetime(2027, 6, 23, 22, 30, tzinfo=UTC)
    event = Event(
        pk=1,
        slug="noite-de-sao-joao",
        title="Noite de São João",
        venue="Armazém do Cais",
        address="Rua do Ouro 12, Porto",
        poster="posters/0123456789abcdef_504.jpg",
        starts_at=start,
        ends_at=start.replace(day=24, hour=5),
        list_opens_at=start.replace(day=1),
        list_closes_at=start,
    )
    with override(language):
        (sample,) = [each for each in make_samples(kind, event) if each.name == name]
        email = Email(pk=1, kind=kind, to="ines@example.com", language=language, queued_at=start)
        message = make_message(email, sample.content)
    html = ExampleEmail(kind, name, language, message).with_images()
    return html.replace(poster_url(event), poster_uri())


def poster_uri() -> str:
    """Return an invented poster as a data URI."""
    from guests.previews import PreviewText, draw_preview

    text = PreviewText("São João", "23.6.", "", "")
    image = draw_preview(text, "sao-joao", None).crop((0, 0, 504, 630))
    jpeg = BytesIO()
    image.save(jpeg, "JPEG")
    return f"data:image/jpeg;base64,{b64encode(jpeg.getvalue()).decode()}"


def take_picture(browser: Browser, html: str, scheme: str) -> bytes:
    with browser.new_context(**SCREEN, color_scheme=scheme) as phone:  # type: ignore[arg-type]
        page = phone.new_page()
        page.set_content(html)
        return page.screenshot()


def reduce_colours(png: bytes) -> bytes:
    """Return a PNG with 256 colours, which takes a third of the bytes."""
    reduced = BytesIO()
    with Image.open(BytesIO(png)) as image:
        image.convert("RGB").quantize(256).save(reduced, "PNG", optimize=True)
    return reduced.getvalue()


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")
    django.setup()
    chromium = shutil.which("chromium") or shutil.which("chromium-headless-shell")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium)
        for name, (kind, sample, language, scheme) in PICTURES.items():
            picture = take_picture(browser, html_of(kind, sample, language), scheme)
            write_generated(FOLDER / f"{name}.png", reduce_colours(picture))


if __name__ == "__main__":
    main()
