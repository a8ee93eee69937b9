"""The image of an event that chat apps show beside a link: 1200 by 630 pixels, drawn by Pillow.

Its name is made from everything that is drawn, so an image never changes under its name. It is
drawn when it is first asked for.
"""

import hashlib
from collections.abc import Callable
from dataclasses import astuple, dataclass
from datetime import timedelta
from io import BytesIO

from django.core.exceptions import ValidationError
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.utils import timezone
from django.utils.text import capfirst
from django.utils.translation import get_language, gettext, override
from PIL import Image, ImageDraw

from guests.models import Event
from guests.posters.flattening import flatten_image
from guests.posters.palettes import NIGHT, Palette, palette_of
from guests.posters.sizes import PosterSizes, crop, encode_jpeg
from guests.posters.upkeep import stored_files
from guests.posters.uploads import image_slots
from guests.templatetags.event_time import plain_event_time
from guests.typesetting import TextBlock, set_text

FOLDER = "previews"
PREVIEW_AGE = timedelta(days=30)
VERSION = 1  # Another number draws every image again.
WIDTH, HEIGHT = 1200, 630  # pixels
POSTER_WIDTH = 504  # four by five
MARGIN = 64
GAP = 20  # between two blocks of text
QUALITY = 84

EDGE = 178  # the value of Pillow's radial gradient at the middle of an edge

LIGHT = "#ffffff"
ACCENT = "#ffc6a3"
QUIET = "#d9d0e0"
CANCELLED = "#ff8fa0"


@dataclass(frozen=True)
class PreviewText:
    """What the image and the link's description say of an event, in the current language."""

    title: str
    when: str
    where: str
    cancelled: str  # "" for an event that takes place


def preview_text(event: Event) -> PreviewText:
    start = plain_event_time(event.local_start, gettext("l j F"))
    # A link is read anywhere, so the zone is always named.
    when = f"{capfirst(start.day)}, {start.time} ({event.time_zone})"
    cancelled = ""
    if event.cancelled_at:
        cancelled = gettext("Cancelled")
    return PreviewText(event.title, when, event.venue, cancelled)


def preview_name(event: Event) -> str:
    """Return the name of the event's image in the current language, without a folder."""
    drawn = (VERSION, *astuple(preview_text(event)), event.slug, event.poster.name or "")
    digest = hashlib.sha256(repr(drawn).encode()).hexdigest()[:16]
    return f"{event.pk}-{get_language()}-{digest}.jpg"


def stored_name(name: str) -> str:
    return f"{FOLDER}/{name}"


def store_preview(event: Event, language: str) -> str:
    """Draw and store the event's image in a language unless it is stored. Return its name.

    Takes up to 0.2 s of CPU. Raises BusyError while other images are drawn on this host.
    """
    with override(language), image_slots.hold_one():
        name = preview_name(event)
        if not default_storage.exists(stored_name(name)):
            image = draw_preview(preview_text(event), event.slug, _load_poster(event))
            default_storage.save(stored_name(name), ContentFile(encode_jpeg(image, QUALITY)))
    return name


def delete_old_previews(must_stop: Callable[[], bool]) -> None:
    """Delete images that were drawn PREVIEW_AGE ago. They are drawn again if they are asked for."""
    before = timezone.now() - PREVIEW_AGE
    for name in stored_files(FOLDER):
        if must_stop():
            return
        if default_storage.get_modified_time(name) < before:
            default_storage.delete(name)


def draw_preview(text: PreviewText, slug: str, poster: Image.Image | None) -> Image.Image:
    """Return an image of the event's texts, with its poster at the right."""
    image = _draw_ground(palette_of(slug))
    width = WIDTH - 2 * MARGIN
    if poster is not None:
        width -= POSTER_WIDTH
        image.paste(poster.resize((POSTER_WIDTH, HEIGHT)), (WIDTH - POSTER_WIDTH, 0))
    canvas = ImageDraw.Draw(image)
    brand = set_text("S N A P", width=width, sizes=[30])
    brand.draw(canvas, MARGIN, MARGIN - 10, LIGHT)
    _draw_texts(canvas, text, width)
    return image


def _draw_texts(canvas: ImageDraw.ImageDraw, text: PreviewText, width: int) -> None:
    """Draw the texts in blocks, the last one above the lower margin."""
    small = range(38, 25, -4)
    blocks: list[tuple[TextBlock, str]] = [
        (set_text(text.cancelled, width=width, sizes=[40]), CANCELLED),
        (set_text(text.when, width=width, sizes=small, lines=2, weight="semibold"), ACCENT),
        (set_text(text.title, width=width, sizes=range(88, 51, -4), lines=3), LIGHT),
        (set_text(text.where, width=width, sizes=small, lines=2, weight="semibold"), QUIET),
    ]
    shown = [(block, colour) for block, colour in blocks if block.lines]
    top = HEIGHT - MARGIN - sum(block.height + GAP for block, _ in shown) + GAP
    for block, colour in shown:
        block.draw(canvas, MARGIN, top, colour)
        top += block.height + GAP


def _draw_ground(palette: Palette) -> Image.Image:
    """Return a dark ground with three soft lights in the event's colours."""
    image = Image.new("RGB", (WIDTH, HEIGHT), NIGHT)
    lights = [
        (palette.one, (-400, -450), 170),
        (palette.two, (400, -500), 170),
        (palette.three, (200, 250), 100),
    ]
    for colour, corner, strength in lights:
        distance = Image.radial_gradient("L").resize((1200, 1000), Image.Resampling.BICUBIC)
        mask = distance.point([strength * max(0, EDGE - value) // EDGE for value in range(256)])
        image.paste(Image.new("RGB", mask.size, colour), corner, mask)
    return image


def _load_poster(event: Event) -> Image.Image | None:
    """Return the part of the poster that pages show, None without a poster that can be read."""
    name = event.poster.name
    sizes = PosterSizes.of(name)
    if sizes is not None:
        name = sizes.name(sizes.fallback_width, "jpg")
    if not name:
        return None
    try:
        with default_storage.open(name) as file:
            return crop(flatten_image(BytesIO(file.read()), NIGHT))
    except (FileNotFoundError, ValidationError):
        return None
