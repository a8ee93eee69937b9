"""Posters that staff upload: an image drawn anew, so that nothing else of the file gets in."""

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
# One at a time: 30 megapixels take 100 MB and most of a second.
image_slots = Slots("image", 1, waiters=1, timeout=2.0)


def reencode_image(upload: "UploadedFile[bytes]") -> "ContentFile[bytes]":
    """Return an uploaded JPEG, PNG or WebP as a JPEG of ours, under a name of ours.

    What else the file held (places and cameras in its metadata, a script behind its last byte) is
    gone. Its size is read before its pixels are: a small file can unpack to gigabytes. Takes up
    to a second of CPU, for one image at a time on this host. Raises ValidationError, and BusyError
    where others come first.
    """
    if (upload.size or 0) > settings.POSTER_MAX_SIZE:
        raise ValidationError(_("This file is too large for a poster."))
    with image_slots.hold_one():
        return _redrawn(upload)


def _redrawn(upload: "UploadedFile[bytes]") -> "ContentFile[bytes]":
    upload.seek(0)
    try:
        # Pillow itself only warns of sizes that lie between its limit and twice that.
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
    """What was made of an upload: the name under which it lies in storage, or why it is refused."""

    def __init__(self, name: str, refusal: ValidationError | None = None) -> None:
        super().__init__(BytesIO(), "poster.jpg", "image/jpeg", 1)
        self.stored_name = name
        self.refusal = refusal


class PosterField(forms.FileField):
    """Takes a poster that `stored_poster` has stored: no file is read or written here."""

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
    """Draw an upload anew and store it for the block; afterwards remove it if no event has it.

    Takes up to a second of CPU. Not for use inside a transaction.
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
