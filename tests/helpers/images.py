"""Images as staff upload them, and as storage has them."""

from base64 import b64decode
from io import BytesIO
from pathlib import Path

from django.core.files.storage import default_storage
from django.core.files.uploadedfile import SimpleUploadedFile
from PIL import Image

from guests.posters.sizes import PosterSizes


def image_bytes(kind: str = "PNG", size: tuple[int, int] = (40, 60), **options: object) -> bytes:
    """Return a red image in a format of Pillow. The size is in pixels."""
    buffer = BytesIO()
    Image.new("RGB", size, "red").save(buffer, kind, **options)
    return buffer.getvalue()


def pixels_of_data_uri(uri: str) -> Image.Image:
    """Return the image in a data URI, in grey."""
    return Image.open(BytesIO(b64decode(uri.partition(",")[2]))).convert("L")


def upload(content: bytes, name: str = "poster.png", kind: str = "image/png") -> SimpleUploadedFile:
    return SimpleUploadedFile(name, content, kind)


def files_of(poster: str | None) -> list[str]:
    """Return the names of a stored poster's image and of all its sizes."""
    sizes = PosterSizes.of(poster)
    assert sizes is not None
    return sizes.names


def stored_bytes(name: str | None) -> bytes:
    assert name
    with default_storage.open(name) as file:
        content: bytes = file.read()
    return content


def stored_image(name: str | None) -> Image.Image:
    return Image.open(BytesIO(stored_bytes(name)))


def stored_posters() -> set[str]:
    """Return the names of all files in the folder of posters."""
    folder = Path(default_storage.path("posters"))
    return {f"posters/{file.name}" for file in folder.glob("*")}
