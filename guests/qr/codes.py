"""QR codes: tokens, images, and the pool of codes that are drawn ahead."""

import secrets
import threading
from base64 import b64encode
from functools import lru_cache
from hashlib import sha256
from io import BytesIO
from itertools import chain
from pathlib import Path
from time import perf_counter
from typing import cast

import qrcode
from django.conf import settings
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.db import transaction
from django.urls import reverse
from PIL import Image
from prometheus_client import Histogram
from qrcode.constants import ERROR_CORRECT_M
from qrcode.util import QRData

from guests.models import PooledQr
from guests.qr.codewords import codewords
from snap.control.switches import QR_POOL, is_on
from snap.local_cache import on_reset

TOKEN_BYTES = 18  # 144 bits
MODULE_PIXELS = 10
QUIET_ZONE = 4  # modules, ISO/IEC 18004 section 6.3.8
MASK = 2
# The pixel of a light module (0) and of a dark one (1), as a table for `bytes.translate`.
MODULE_COLOURS = bytes([255, 0]) + bytes(254)

# Letters and digits of short codes: 32 that are not taken for one another.
CODE_LETTERS = "23456789ABCDEFGHJKLMNPQRSTUVWXYZ"

# Load Pillow's formats before workers fork. Else the first guest of each process waits 50 ms.
Image.preinit()

generation_duration = Histogram(
    "qr_generation_duration_ms",
    "Milliseconds to draw and store one QR image",
    buckets=(0.5, 1, 2, 5, 10, 20, 50, 100, 500),
)


class _Ready(threading.local):
    """The codes that this thread has drawn for its next guests while the pool is turned off."""

    def __init__(self) -> None:
        self.tokens: list[str] = []

    def forget(self) -> None:
        self.tokens = []


_ready = _Ready()
on_reset(_ready.forget)


def make_token() -> str:
    """Return a new unguessable token: 24 characters of the URL-safe alphabet."""
    return secrets.token_urlsafe(TOKEN_BYTES)


def pass_url(token: str) -> str:
    """Return the address of a guest's pass, which the QR code encodes."""
    return f"{settings.PUBLIC_URL}{reverse('guests:pass', args=[token])}"


def image_name(token: str) -> str:
    return f"qr/{token}.png"


def image_url(token: str) -> str:
    url: str = default_storage.url(image_name(token))
    return url


@lru_cache
def _version_for(length: int) -> int:
    """Return the smallest QR version that holds `length` bytes at level M."""
    code = qrcode.QRCode(error_correction=ERROR_CORRECT_M)
    code.add_data(QRData(b"x" * length))
    version: int = code.best_fit()
    return version


def draw_image(text: str) -> bytes:
    """Return a PNG of the text's QR code, level M, 10 pixels a module. Under 1 ms of CPU.

    By default qrcode tries all eight masks and draws each module on its own. A fixed mask is as
    readable, and here a bitmap of one pixel a module is enlarged in one step.
    """
    data = text.encode()
    version = _version_for(len(data))
    code = qrcode.QRCode(version, error_correction=ERROR_CORRECT_M, mask_pattern=MASK)
    code.data_cache = codewords(data, version)
    code.make(fit=False)
    # Every module of a finished code is True or False.
    rows = cast("list[list[bool]]", code.modules)
    pixels = bytes(chain.from_iterable(rows)).translate(MODULE_COLOURS)
    modules = Image.frombytes("L", (code.modules_count,) * 2, pixels)
    side = code.modules_count + 2 * QUIET_ZONE
    matrix = Image.new("1", (side, side), 1)
    matrix.paste(modules.convert("1", dither=Image.Dither.NONE), (QUIET_ZONE, QUIET_ZONE))
    png = BytesIO()
    image = matrix.resize((side * MODULE_PIXELS,) * 2, Image.Resampling.NEAREST)
    image.save(png, "PNG", compress_level=1)
    return png.getvalue()


def read_image(token: str) -> bytes:
    """Return a token's image: from the disk if it is there, else drawn again.

    An image in the storage of another machine is drawn, which takes less time than reading it.
    """
    try:
        return Path(default_storage.path(image_name(token))).read_bytes()
    except (NotImplementedError, OSError):
        return draw_image(pass_url(token))


def short_code(token: str) -> str:
    """Return a token's code for people, such as K7QP-2MXD. The token cannot be found from it."""
    digest = sha256(token.encode()).digest()
    letters = "".join(CODE_LETTERS[byte % len(CODE_LETTERS)] for byte in digest[:8])
    return f"{letters[:4]}-{letters[4:]}"


def image_data_uri(token: str) -> str:
    """Return a token's image as a data URI, for admin pages, which are not cached."""
    return "data:image/png;base64," + b64encode(draw_image(pass_url(token))).decode()


def store_image(token: str) -> None:
    """Draw a token's QR code and store the image."""
    began = perf_counter()
    default_storage.save(image_name(token), ContentFile(draw_image(pass_url(token))))
    generation_duration.observe((perf_counter() - began) * 1000)


def fill_pool(size: int) -> int:
    """Fill the pool for guests who are about to get places. Return how many codes were drawn.

    While staff have turned the pool off, the codes are drawn for this thread alone. Images are
    stored before guests are created in both cases. Not for use inside a transaction.
    """
    if is_on(QR_POOL):
        return make_ahead(size)
    missing = max(0, size - len(_ready.tokens))
    for _ in range(missing):
        token = make_token()
        store_image(token)
        _ready.tokens.append(token)
    return missing


def make_ahead(size: int) -> int:
    """Draw and store QR codes until the pool holds `size` of them. Return how many were drawn.

    Images are stored before their tokens, so each token in the pool has an image. What this thread
    has drawn while the pool was off, and not used, goes into the pool. Not for use inside a
    transaction.
    """
    tokens = list(_ready.tokens)
    missing = max(0, size - PooledQr.objects.count() - len(tokens))
    for _ in range(missing):
        token = make_token()
        store_image(token)
        tokens.append(token)
    PooledQr.objects.bulk_create([PooledQr(token=token) for token in tokens])
    _ready.forget()
    return missing


def take_from_pool(count: int) -> list[str]:
    """Take at most `count` tokens out of the pool. They come back if the transaction rolls back.

    While staff have turned the pool off, return `count` tokens that are not from the pool: those
    that `fill_pool` has drawn for this thread, then new ones, drawn after the commit.
    """
    if not is_on(QR_POOL):
        taken, _ready.tokens = _ready.tokens[:count], _ready.tokens[count:]
        return taken + new_tokens(count - len(taken))
    unlocked = PooledQr.objects.select_for_update(skip_locked=True)
    tokens = list(unlocked.values_list("token", flat=True)[:count])
    PooledQr.objects.filter(token__in=tokens).delete()
    return tokens


def new_tokens(count: int) -> list[str]:
    """Return new tokens, whose images are drawn and stored when the transaction has committed."""
    tokens = [make_token() for _ in range(count)]
    for token in tokens:
        store_image_after_commit(token)
    return tokens


def delete_image(token: str) -> None:
    default_storage.delete(image_name(token))


def delete_image_after_commit(token: str) -> None:
    """Delete a token's image when the transaction has committed. Django logs a failure."""
    # A lambda, since Django cannot log the name of a `partial`.
    transaction.on_commit(lambda: delete_image(token), robust=True)


def store_image_after_commit(token: str) -> None:
    """Draw and store a token's image when the transaction has committed. Django logs a failure."""
    transaction.on_commit(lambda: store_image(token), robust=True)
