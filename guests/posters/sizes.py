"""The files of a poster in storage: the image itself, and the sizes that pages show.

Pages show a part of four by five, from the top. `posters/<random>_1200.jpg` is the whole image, and
1200 is the width of that part. Its sizes are beside it, as `posters/<random>_1200-720.avif`. The
name says which there are, so a page needs no query and no request to storage for them.
"""

import re
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from typing import Any

from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from PIL import Image

FOLDER = "posters"
# PostgreSQL reads the first of these patterns as well, so their groups have no names.
NAME = re.compile(r"posters/([0-9a-f]{16}_([0-9]{1,4}))[.]jpg")
SIZE_NAME = re.compile(r"(posters/[0-9a-f]{16}_[0-9]{1,4})-[0-9]{1,4}[.](avif|jpg)")
QUALITY = 85
WIDTHS = (360, 720, 1080)  # pixels
HEIGHT = 1.25  # of the width

# The qualities to try, each with the share of the width that is stored, and the bytes that a size
# may have. Fewer pixels look better than a quality that is lower still. The page of all events has
# many posters, and most phones load 720 pixels.
AVIF_QUALITIES = ((50, 1.0), (38, 1.0), (28, 1.0), (20, 1.0), (20, 0.7), (20, 0.5))
JPEG_QUALITIES = ((75, 1.0), (60, 1.0), (45, 1.0), (30, 1.0), (30, 0.7), (30, 0.5))
AVIF_BYTES = {360: 8_000, 720: 24_000, 1080: 54_000}
JPEG_BYTES = {360: 20_000, 720: 60_000, 1080: 140_000}
# The speed at which 1080 pixels take about 0.15 s of CPU. Slower ones save a fifth of the bytes.
AVIF_SPEED = 8


@dataclass(frozen=True)
class PosterSizes:
    """The sizes of a poster that was stored with them."""

    stem: str
    width: int

    @classmethod
    def of(cls, name: str | None) -> "PosterSizes | None":
        """Return the sizes of a stored image, None for images from before there were sizes."""
        match = NAME.fullmatch(name or "")
        if match is None:
            return None
        return cls(match[1], int(match[2]))

    @property
    def widths(self) -> list[int]:
        """Return the widths of the sizes in pixels, smallest first. None is enlarged."""
        largest = min(self.width, WIDTHS[-1])
        return [width for width in WIDTHS if width < largest] + [largest]

    @property
    def names(self) -> list[str]:
        """Return the names in storage: the whole image, and all sizes."""
        sizes = [
            self.name(width, extension) for width in self.widths for extension in ("avif", "jpg")
        ]
        return [f"{FOLDER}/{self.stem}.jpg", *sizes]

    def name(self, width: int, extension: str) -> str:
        return f"{FOLDER}/{self.stem}-{width}.{extension}"

    def srcset(self, extension: str) -> str:
        urls = [
            f"{default_storage.url(self.name(width, extension))} {width}w" for width in self.widths
        ]
        return ", ".join(urls)

    @property
    def height(self) -> int:
        return height_of(self.width)

    # Templates cannot pass arguments.

    @property
    def avif(self) -> str:
        return self.srcset("avif")

    @property
    def jpeg(self) -> str:
        return self.srcset("jpg")

    @property
    def fallback_url(self) -> str:
        """Return the address for browsers that know no `srcset`."""
        url: str = default_storage.url(self.name(self.fallback_width, "jpg"))
        return url

    @property
    def fallback_width(self) -> int:
        return [width for width in self.widths if width <= 720 or width == self.widths[0]][-1]


def store_poster(image: Image.Image) -> str:
    """Store an opaque image and its sizes under a new random name, and return the image's name.

    Takes about half a second of CPU. Nothing is left in storage when it fails.
    """
    part = crop(image)
    sizes = PosterSizes(f"{secrets.token_hex(8)}_{part.width}", part.width)
    try:
        for width in sizes.widths:
            resized = part.resize((width, height_of(width)), Image.Resampling.LANCZOS)
            for extension, content in _encode_size(resized):
                _store(sizes.name(width, extension), content)
        # Last, because the sizes are there when the image is.
        return _store(sizes.names[0], encode_jpeg(image, QUALITY))
    except BaseException:
        delete_poster(sizes.names[0])
        raise


def delete_poster(name: str) -> None:
    """Delete a poster with all its sizes. Files that are not there are no error."""
    sizes = PosterSizes.of(name)
    names = [name]
    if sizes is not None:
        names = sizes.names
    for each in names:
        default_storage.delete(each)


def height_of(width: int) -> int:
    """Return the height of the part that pages show."""
    return max(1, round(width * HEIGHT))


def image_name(name: str) -> str:
    """Return the name of the whole image, for a file that is one of its sizes or the image."""
    size = SIZE_NAME.fullmatch(name)
    if size is None:
        return name
    return f"{size[1]}.jpg"


def crop(image: Image.Image) -> Image.Image:
    """Return the part that pages show: four by five, from the top, in the middle."""
    width = min(image.width, max(1, round(image.height / HEIGHT)))
    height = min(image.height, height_of(width))
    left = (image.width - width) // 2
    return image.crop((left, 0, left + width, height))


def encode_jpeg(image: Image.Image, quality: int) -> bytes:
    return _encode(image, "JPEG", quality=quality, progressive=True, optimize=True)


def _encode_size(image: Image.Image) -> Iterator[tuple[str, bytes]]:
    """Yield the extension and the content of each format, at a quality that fits the budget."""
    budget = next(width for width in WIDTHS if image.width <= width)
    for quality, share in AVIF_QUALITIES:
        avif = _encode(
            _reduce(image, share), "AVIF", quality=quality, speed=AVIF_SPEED, max_threads=1
        )
        if len(avif) <= AVIF_BYTES[budget]:
            break
    yield "avif", avif
    for quality, share in JPEG_QUALITIES:
        jpeg = encode_jpeg(_reduce(image, share), quality)
        if len(jpeg) <= JPEG_BYTES[budget]:
            break
    yield "jpg", jpeg


def _reduce(image: Image.Image, share: float) -> Image.Image:
    if share == 1:
        return image
    width = round(image.width * share)
    return image.resize((width, height_of(width)), Image.Resampling.LANCZOS)


def _encode(image: Image.Image, kind: str, **options: Any) -> bytes:
    buffer = BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def _store(name: str, content: bytes) -> str:
    stored: str = default_storage.save(name, ContentFile(content))
    return stored
