"""The image of a pass that a guest saves: event, date, place, name and the QR code.

It is drawn on request and not stored, because it has a guest's name. The QR code has whole pixels
for each module and a white margin, so that scanners read it from any screen.
"""

from dataclasses import dataclass
from io import BytesIO

from django.utils.translation import gettext
from PIL import Image, ImageDraw

from guests.models import Guest
from guests.qr.codes import draw_image, pass_url
from guests.templatetags.event_time import plain_event_time
from guests.typesetting import TextBlock, drawable, set_text

WIDTH = 1080  # pixels, the width of most phones
MARGIN = 72
TEXT_WIDTH = WIDTH - 2 * MARGIN
GAP = 28
RADIUS = 48
# The colours of static/css/ticket.css.
ORANGE, ON_ORANGE = "#ff7a4d", "#1f0a03"
PAPER, INK, FAINT = "#fff6ec", "#1a1320", "#6a5a66"
WHITE = "#ffffff"


@dataclass(frozen=True)
class PassText:
    """The texts on the image of a pass."""

    title: str
    when: str
    where: str
    name: str
    hint: str


def text_of(guest: Guest) -> PassText:
    """Return the texts for a guest in the active language. Reads the event."""
    event = guest.event
    time = plain_event_time(event.local_start, "l", "DATE_FORMAT")
    where = event.venue
    if event.address:
        where = f"{event.venue}, {event.address}"
    when = f"{time.day}, {time.time} ({event.time_zone})"
    # The address of a title in which nothing can be drawn, such as emoji only.
    title = event.title if drawable(event.title) else event.slug
    return PassText(title, when, where, guest.name, gettext("Show it at the door, with your ID."))


def draw_pass(text: PassText, token: str) -> bytes:
    """Return the image as a PNG."""
    head = [
        set_text(text.title, width=TEXT_WIDTH, sizes=(84, 72, 60, 52), lines=3),
        set_text(text.when, width=TEXT_WIDTH, sizes=(44, 38, 34), lines=2, weight="semibold"),
        set_text(text.where, width=TEXT_WIDTH, sizes=(44, 38, 34), lines=3, weight="semibold"),
    ]
    name = set_text(text.name, width=TEXT_WIDTH, sizes=(64, 52, 44), lines=2)
    hint = set_text(text.hint, width=TEXT_WIDTH, sizes=(38, 34), lines=2, weight="semibold")
    code = _code(token)
    head_height = MARGIN + _height(head) + MARGIN
    panel = code.height + 2 * GAP
    height = head_height + MARGIN + panel + MARGIN + _height([name, hint]) + MARGIN
    image = Image.new("RGB", (WIDTH, height), PAPER)
    canvas = ImageDraw.Draw(image)
    canvas.rectangle((0, 0, WIDTH, head_height), fill=ORANGE)
    _draw_blocks(canvas, head, MARGIN, ON_ORANGE)
    top = head_height + MARGIN
    left = (WIDTH - panel) // 2
    canvas.rounded_rectangle((left, top, left + panel, top + panel), RADIUS, fill=WHITE)
    image.paste(code, (left + GAP, top + GAP))
    below = _draw_blocks(canvas, [name], top + panel + MARGIN, INK)
    _draw_blocks(canvas, [hint], below, FAINT)
    png = BytesIO()
    image.save(png, "PNG", compress_level=1)
    return png.getvalue()


def _code(token: str) -> Image.Image:
    """Return the QR code in the largest size with whole pixels that fits between the margins."""
    with Image.open(BytesIO(draw_image(pass_url(token)))) as drawn:
        modules = drawn.width // 10
        pixels = TEXT_WIDTH // modules
        small = drawn.resize((modules, modules), Image.Resampling.NEAREST)
        return small.resize((modules * pixels,) * 2, Image.Resampling.NEAREST).convert("RGB")


def _height(blocks: list[TextBlock]) -> int:
    shown = [block.height for block in blocks if block.lines]
    return sum(shown) + GAP * max(0, len(shown) - 1)


def _draw_blocks(canvas: ImageDraw.ImageDraw, blocks: list[TextBlock], top: int, fill: str) -> int:
    """Draw blocks below each other, from a height. Return the height of what follows."""
    for block in blocks:
        if block.lines:
            block.draw(canvas, MARGIN, top, fill)
            top += block.height + GAP
    return top
