"""Posters that staff upload. Each image is encoded again, so nothing else of the file is stored."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from io import BytesIO
from typing import Any

from django import forms
from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.files.uploadedfile import UploadedFile
from django.core.validators import FileExtensionValidator
from django.db import transaction
from django.utils.translation import gettext_lazy as _

from guests.models import Event
from guests.posters.flattening import flatten_image
from guests.posters.palettes import colour_of
from guests.posters.sizes import delete_poster, store_poster
from snap.resilience.slots import Slots

check_extension = FileExtensionValidator(["jpg", "jpeg", "png", "webp"])
# One image at a time: 30 megapixels take 100 MB and most of a second.
image_slots = Slots("image", 1, waiters=1, timeout=2.0)


def store_upload(upload: "UploadedFile[bytes]", colour: str) -> str:
    """Encode an uploaded JPEG, PNG or WebP again, store it with its sizes and return its name.

    `colour` shows through its transparent parts. Metadata (such as the place and the camera) and
    data after the image are not kept. Takes up to two seconds of CPU. Raises ValidationError for
    other files, for more than POSTER_MAX_SIZE bytes and for more than POSTER_MAX_PIXELS pixels.
    Raises BusyError while other images are encoded on this host.
    """
    if (upload.size or 0) > settings.POSTER_MAX_SIZE:
        raise ValidationError(_("This file is too large for a poster."))
    with image_slots.hold_one():
        return store_poster(flatten_image(upload, colour))


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
def stored_poster(upload: "UploadedFile[bytes]", slug: str) -> Iterator[StoredPoster]:
    """Encode an upload again and store it. Delete it after the block if no event uses it.

    `slug` is the event's, for the colour behind transparent parts. Takes up to two seconds of CPU.
    Raises BusyError as `store_upload` does. Not for use inside a transaction.
    """
    try:
        with upload:
            check_extension(upload)
            name = store_upload(upload, colour_of(slug))
    except ValidationError as error:
        yield StoredPoster("", error)
        return
    try:
        yield StoredPoster(name)
    finally:
        delete_unused(name)


def delete_unused(name: str | None) -> None:
    """Delete a poster with its sizes, unless an event uses it."""
    if name and not Event.objects.filter(poster=name).exists():
        delete_poster(name)


def delete_unused_after_commit(names: Iterable[str | None]) -> None:
    """Delete the posters that no event uses once the transaction has committed.

    An error of the storage is logged, and the sweeper deletes the rest later.
    """
    for name in names:
        transaction.on_commit(partial(delete_unused, name), robust=True)
