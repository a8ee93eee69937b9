"""Decoding of uploaded images: any mode and depth becomes opaque sRGB."""

import warnings
from io import BytesIO
from typing import IO, cast

from django.conf import settings
from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _
from PIL import Image, ImageCms, ImageFile, ImageMath, ImageOps

FORMATS = ("JPEG", "PNG", "WEBP")
LARGEST_SIDE = 2000  # pixels, as kept
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))
# Flags in the byte 20 of a WebP file.
WEBP_ANIMATED = 0x02
WEBP_TRANSPARENT = 0x10
# The factor from a gray of 2 or 4 bits to one of 8, by Pillow's name of the depth.
GRAY_STEPS = {"L;2": 85, "L;4": 17}
UNREADABLE = (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError)


def flatten_image(file: IO[bytes], colour: str) -> Image.Image:
    """Return an uploaded JPEG, PNG or WebP as sRGB without transparency, on a colour.

    It is upright, as its metadata say, and neither side is longer than LARGEST_SIDE. Of an
    animation the first frame is taken. The dimensions are checked before the pixels are read, since
    a small file can unpack to gigabytes. Takes up to a second of CPU. Raises ValidationError for
    other files and for more than POSTER_MAX_PIXELS pixels.
    """
    try:
        image = _open(file)
        if image.width * image.height > settings.POSTER_MAX_PIXELS:
            raise ValidationError(_("This image has too many pixels for a poster."))
        # A JPEG is decoded at half its size or less when that is large enough.
        image.draft(None, (LARGEST_SIDE, LARGEST_SIDE))
        _convert_transparent_colour(image)
        coloured = _to_colours(ImageOps.exif_transpose(image))
    except UNREADABLE as error:
        raise ValidationError(_("A poster is a JPEG, PNG or WebP image.")) from error
    coloured.thumbnail((LARGEST_SIDE, LARGEST_SIDE))
    return _lay_on(coloured, colour)


def _open(file: IO[bytes]) -> ImageFile.ImageFile:
    file.seek(0)
    start = file.read(21)
    file.seek(0)
    if start[:4] == b"RIFF" and start[12:16] == b"VP8X" and start[20] & WEBP_ANIMATED:
        # An encoder that ends with an opaque frame says that no frame is transparent.
        content = bytearray(file.read())
        content[20] |= WEBP_TRANSPARENT
        file = BytesIO(content)
    # Pillow warns of sizes between its own limit and twice that limit. The caller checks ours.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        return Image.open(file, formats=FORMATS)


def _to_colours(image: Image.Image) -> Image.Image:
    """Return an image of any mode in mode RGB, or RGBA when it has transparent parts."""
    if image.mode.startswith("I"):
        return _from_16_bits(image)
    if image.has_transparency_data:
        with_alpha = image.convert("RGBA")
        colours = _to_srgb(with_alpha.convert("RGB"), image)
        colours.putalpha(with_alpha.getchannel("A"))
        return colours
    if image.mode == "P":
        return _to_srgb(image.convert("RGB"), image)
    return _to_srgb(image, image)


def _from_16_bits(image: Image.Image) -> Image.Image:
    """Return a gray image of 16 bits in 8. Pillow itself would make all but the darkest white."""
    wide = image.convert("I")
    gray = wide.point(lambda value: value * (1 / 256)).convert("L")
    colours = _to_srgb(gray, image)
    transparent = image.info.get("transparency")
    if transparent is not None:
        differs = ImageMath.lambda_eval(lambda images: images["gray"] != transparent, gray=wide)
        colours.putalpha(differs.convert("L").point(lambda value: value * 255))
    return colours


def _convert_transparent_colour(image: ImageFile.ImageFile) -> None:
    """Give the transparent colour of a PNG 8 bits, as its pixels get them. Pillow keeps it.

    The image must not be loaded yet, because Pillow forgets the depth of its file then.
    """
    transparent = image.info.get("transparency")
    if isinstance(transparent, tuple) and max(transparent) > 255:
        image.info["transparency"] = tuple(value >> 8 for value in transparent)
    if isinstance(transparent, int) and image.tile:
        step = GRAY_STEPS.get(str(image.tile[0].args), 1)
        image.info["transparency"] = transparent * step


def _to_srgb(colours: Image.Image, source: Image.Image) -> Image.Image:
    """Convert from the colour profile of `source` to sRGB. A profile that cannot be used is not."""
    profile = source.info.get("icc_profile")
    if profile:
        try:
            described = ImageCms.ImageCmsProfile(BytesIO(profile))
            converted = ImageCms.profileToProfile(colours, described, SRGB, outputMode="RGB")
            return cast("Image.Image", converted)
        except (ImageCms.PyCMSError, OSError, ValueError):
            pass
    return colours.convert("RGB")


def _lay_on(image: Image.Image, colour: str) -> Image.Image:
    if image.mode == "RGB":
        return image
    ground = Image.new("RGB", image.size, colour)
    ground.paste(image, mask=image.getchannel("A"))
    return ground
