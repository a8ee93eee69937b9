"""Posters that staff upload. Each image is encoded again, so nothing else of the file is stored."""

import secrets
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from typing import Any

from django import forms
from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.core.files.uploadedfile import UploadedFile
from django.core.validators import FileExtensionValidator
from django.utils.translation import gettext_lazy as _
from PIL import Image, ImageOps

from guests.models import Event
from snap.resilience.slots import Slots

FORMATS = ("JPEG", "PNG", "WEBP")
check_extension = FileExtensionValidator(["jpg", "jpeg", "png", "webp"])
LARGEST_SIDE = 2000  # pixels, as kept
QUALITY = 85
# One image at a time: 30 megapixels take 100 MB and most of a second.
image_slots = Slots("image", 1, waiters=1, timeout=2.0)


def reencode_image(upload: "UploadedFile[bytes]") -> "ContentFile[bytes]":
    """Return an uploaded JPEG, PNG or WebP as a new JPEG under a new random name.

    Metadata (such as the place and the camera) and data after the image are not kept. The
    dimensions are checked before the pixels are read, since a small file can unpack to gigabytes.
    Takes up to a second of CPU. Raises ValidationError for other files, for more than
    POSTER_MAX_SIZE bytes and for more than POSTER_MAX_PIXELS pixels. Raises BusyError while other
    images are encoded on this host.
    """
    if (upload.size or 0) > settings.POSTER_MAX_SIZE:
        raise ValidationError(_("This file is too large for a poster."))
    with image_slots.hold_one():
        return _reencode(upload)


def _reencode(upload: "UploadedFile[bytes]") -> "ContentFile[bytes]":
    upload.seek(0)
    try:
        # Pillow warns of sizes between its own limit and twice that limit. Ours is checked below.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            image = Image.open(upload, formats=FORMATS)
        if image.width * image.height > settings.POSTER_MAX_PIXELS:
            raise ValidationError(_("This image has too many pixels for a poster."))
        flat = ImageOps.exif_transpose(image).convert("RGB")
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise ValidationError(_("A poster is a JPEG, PNG or WebP image.")) from error
    flat.thumbnail((LARGEST_SIDE, LARGEST_SIDE))
    jpeg = BytesIO()
    flat.save(jpeg, "JPEG", quality=QUALITY, progressive=True)
    return ContentFile(jpeg.getvalue(), f"{secrets.token_hex(8)}.jpg")


class StoredPoster(UploadedFile):  # type: ignore[type-arg]
    """An upload after `stored_poster`: its name in storage, or the reason for a refusal."""

    def __init__(self, name: str, refusal: ValidationError | None = None) -> None:
        super().__init__(BytesIO(), "poster.jpg", "image/jpeg", 1)
        self.stored_name = name
        self.refusal = refusal


class PosterField(forms.FileField):
    """A field for a poster that `stored_poster` has stored. It reads and writes no file."""

    def to_python(self, data: Any) -> Any:
        if data in self.empty_values:
            return None
        if not isinstance(data, StoredPoster):
            raise ValidationError(_("A poster is a JPEG, PNG or WebP image."))
        if data.refusal:
            raise data.refusal
        return data.stored_name


@contextmanager
def stored_poster(upload: "UploadedFile[bytes]") -> Iterator[StoredPoster]:
    """Encode an upload again and store it. Delete it after the block if no event uses it.

    Takes up to a second of CPU. Raises BusyError as `reencode_image` does. Not for use inside a
    transaction.
    """
    try:
        with upload:
            check_extension(upload)
            poster = reencode_image(upload)
    except ValidationError as error:
        yield StoredPoster("", error)
        return
    name = default_storage.save(f"posters/{poster.name}", poster)
    try:
        yield StoredPoster(name)
    finally:
        if not Event.objects.filter(poster=name).exists():
            default_storage.delete(name)
