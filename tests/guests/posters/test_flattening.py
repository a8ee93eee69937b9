"""Images of every mode and depth become opaque sRGB, on the colour of the event."""

import struct
import zlib
from collections.abc import Callable
from io import BytesIO

import pytest
from PIL import Image, ImageCms

from guests.posters.flattening import flatten_image

COLOUR = "#7b2ff7"
GROUND = (0x7B, 0x2F, 0xF7)
RED = (255, 0, 0)
SIZE = (40, 50)
Colour = str | float | tuple[int, ...]
TOLERANCE = 12  # JPEG and WebP change colours a little.


def encoded(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    buffer = BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def with_hole(image: Image.Image, transparent: Colour) -> Image.Image:
    """Paint the left half of an image in a colour, such as a transparent one."""
    image.paste(transparent, (0, 0, SIZE[0] // 2, SIZE[1]))
    return image


def palette_image() -> Image.Image:
    image = Image.new("P", SIZE, 1)
    image.putpalette([0, 0, 0, 255, 0, 0, 0, 255, 0])
    return with_hole(image, 0)


def frames(kind: str, second_colour: Colour = "green") -> bytes:
    first = with_hole(Image.new("RGBA", SIZE, RED), (0, 0, 0, 0))
    second = Image.new("RGBA", SIZE, second_colour)
    return encoded(first, kind, save_all=True, append_images=[second], duration=100, lossless=True)


def half_transparent() -> bytes:
    return encoded(with_hole(Image.new("RGBA", SIZE, RED), (255, 255, 255, 128)))


def gray_16(transparency: int | None = None) -> bytes:
    row = struct.pack("<40H", *[0x1234] * 20, *[0x8000] * 20)
    return encoded(Image.frombytes("I;16", SIZE, row * SIZE[1]), transparency=transparency)


def made_png(depth: int, colour_type: int, row: bytes, hole: bytes) -> bytes:
    """Return a PNG of a depth that Pillow does not write, with a transparent colour."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    header = struct.pack(">IIBBBBB", *SIZE, depth, colour_type, 0, 0, 0)
    parts = chunk(b"IHDR", header) + chunk(b"tRNS", hole)
    parts += chunk(b"IDAT", zlib.compress((b"\0" + row) * SIZE[1])) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + parts


def rgb_16_with_transparent_colour() -> bytes:
    hole, red = struct.pack(">3H", 0x1234, 0x5678, 0x9ABC), struct.pack(">3H", 0xFFFF, 0, 0)
    return made_png(16, 2, hole * (SIZE[0] // 2) + red * (SIZE[0] // 2), hole)


# The name of an image, its content, and the pixels that its left and right half become.
Case = tuple[str, Callable[[], bytes], tuple[int, int, int], tuple[int, int, int]]
GRAY = (128, 128, 128)
CASES: list[Case] = [
    (
        "RGBA",
        lambda: encoded(with_hole(Image.new("RGBA", SIZE, RED), (0, 0, 0, 0))),
        GROUND,
        RED,
    ),
    ("RGBA half", half_transparent, (189, 151, 251), RED),
    (
        "RGB with a transparent colour",
        lambda: encoded(with_hole(Image.new("RGB", SIZE, RED), (0, 0, 0)), transparency=(0, 0, 0)),
        GROUND,
        RED,
    ),
    ("RGB of 16 bits with a transparent colour", rgb_16_with_transparent_colour, GROUND, RED),
    ("LA", lambda: encoded(with_hole(Image.new("LA", SIZE, (128, 255)), (0, 0))), GROUND, GRAY),
    ("L", lambda: encoded(with_hole(Image.new("L", SIZE, 128), 0)), (0, 0, 0), GRAY),
    (
        "L with a transparent gray",
        lambda: encoded(with_hole(Image.new("L", SIZE, 128), 7), transparency=7),
        GROUND,
        GRAY,
    ),
    ("1", lambda: encoded(with_hole(Image.new("1", SIZE, 1), 0)), (0, 0, 0), (255, 255, 255)),
    (
        "1 with a transparent colour",
        lambda: encoded(with_hole(Image.new("1", SIZE, 1), 0), transparency=0),
        GROUND,
        (255, 255, 255),
    ),
    (
        "gray of 2 bits with tRNS",
        lambda: made_png(2, 0, b"\x55" * 5 + b"\xaa" * 5, b"\0\1"),
        GROUND,
        (170, 170, 170),
    ),
    (
        "gray of 4 bits with tRNS",
        lambda: made_png(4, 0, b"\xff" * 10 + b"\x88" * 10, b"\0\x0f"),
        GROUND,
        (136, 136, 136),
    ),
    ("P", lambda: encoded(palette_image()), (0, 0, 0), RED),
    ("P with tRNS", lambda: encoded(palette_image(), transparency=0), GROUND, RED),
    ("P with alphas", lambda: encoded(palette_image(), transparency=b"\0\xff"), GROUND, RED),
    ("16 bits gray", gray_16, (0x12,) * 3, GRAY),
    ("16 bits gray with tRNS", lambda: gray_16(transparency=0x1234), GROUND, GRAY),
    (
        "CMYK",
        lambda: encoded(with_hole(Image.new("CMYK", SIZE, (0, 255, 255, 0)), (0, 0, 0, 0)), "JPEG"),
        (255, 255, 255),
        RED,
    ),
    (
        "gray JPEG",
        lambda: encoded(with_hole(Image.new("L", SIZE, 128), 0), "JPEG"),
        (0, 0, 0),
        GRAY,
    ),
    (
        "RGBA WebP",
        lambda: encoded(
            with_hole(Image.new("RGBA", SIZE, RED), (0, 0, 0, 0)), "WEBP", lossless=True
        ),
        GROUND,
        RED,
    ),
    ("animated WebP", lambda: frames("WEBP"), GROUND, RED),
    ("animated WebP, all frames transparent", lambda: frames("WEBP", (0, 0, 0, 0)), GROUND, RED),
    ("animated PNG", lambda: frames("PNG"), GROUND, RED),
    (
        "several pictures in a JPEG",
        lambda: encoded(
            with_hole(Image.new("RGB", SIZE, RED), (255, 255, 255)),
            "MPO",
            save_all=True,
            append_images=[Image.new("RGB", SIZE, "green")],
        ),
        (255, 255, 255),
        RED,
    ),
]


@pytest.mark.parametrize(
    ("content", "left", "right"), [case[1:] for case in CASES], ids=[case[0] for case in CASES]
)
def test_every_mode_is_laid_on_the_colour_of_the_event(
    content: Callable[[], bytes], left: tuple[int, int, int], right: tuple[int, int, int]
) -> None:
    flat = flatten_image(BytesIO(content()), COLOUR)
    assert flat.mode == "RGB"
    assert flat.size == SIZE
    assert is_near(flat.getpixel((5, 25)), left)
    assert is_near(flat.getpixel((35, 25)), right)


def is_near(pixel: object, expected: tuple[int, int, int]) -> bool:
    assert isinstance(pixel, tuple)
    return all(abs(one - two) <= TOLERANCE for one, two in zip(pixel, expected, strict=True))


def test_a_photo_is_turned_upright() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # The right side is the top.
    content = encoded(with_hole(Image.new("RGB", SIZE, RED), (0, 0, 0)), "JPEG", exif=exif)
    flat = flatten_image(BytesIO(content), COLOUR)
    assert flat.size == (50, 40)
    assert is_near(flat.getpixel((25, 5)), (0, 0, 0))
    assert is_near(flat.getpixel((25, 35)), RED)


def profile_of_swapped_colours() -> bytes:
    """Return a profile in which what is stored as red is green."""
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    return srgb.replace(b"rXYZ", b"----").replace(b"gXYZ", b"rXYZ").replace(b"----", b"gXYZ")


@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_colours_of_a_profile_become_srgb(mode: str) -> None:
    content = encoded(Image.new(mode, SIZE, RED), icc_profile=profile_of_swapped_colours())
    assert is_near(flatten_image(BytesIO(content), COLOUR).getpixel((5, 5)), (0, 255, 0))


@pytest.mark.parametrize("kind", ["L", "RGB"])
def test_a_profile_that_does_not_fit_is_ignored(kind: str) -> None:
    for profile in (
        b"no profile",
        ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes(),
    ):
        content = encoded(Image.new(kind, SIZE, 128 if kind == "L" else RED), icc_profile=profile)
        pixel = flatten_image(BytesIO(content), COLOUR).getpixel((5, 5))
        assert pixel == (GRAY if kind == "L" else RED)


@pytest.mark.parametrize("size", [(1, 1), (1, 4000), (4000, 1), (3000, 10), (10, 3000)])
def test_any_proportions_are_taken(size: tuple[int, int]) -> None:
    flat = flatten_image(BytesIO(encoded(Image.new("RGBA", size, (0, 0, 0, 0)))), COLOUR)
    assert max(flat.size) <= 2000
    assert min(flat.size) >= 1
    assert flat.getpixel((0, 0)) == GROUND
