"""Text on images: which font draws it, lines of a width, and the direction of its script.

Pillow is given one font for a text. Inter draws Latin text; DejaVu Sans has many more scripts and
signs. A character that neither has, such as most emoji, is left out instead of an empty box.
"""

import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal

from PIL import ImageDraw, ImageFont, features

Weight = Literal["bold", "semibold"]

FOLDER = Path(__file__).parent / "fonts"
INTER = {
    "bold": FOLDER / "inter-5.3.0" / "inter-latin-800-normal.woff",
    "semibold": FOLDER / "inter-5.3.0" / "inter-latin-600-normal.woff",
}
DEJAVU = FOLDER / "dejavu-2.37" / "DejaVuSans-Bold.ttf"

LINE_HEIGHT = 1.16  # of the font's size
BASELINE = 0.92  # of the font's size, from the top of a line
ELLIPSIS = "…"
# Characters that no font draws: controls, and marks of direction or of emoji.
INVISIBLE = {"Cc", "Cf", "Cn", "Co", "Cs"}
VARIATION_SELECTORS = range(0xFE00, 0xFE10)
RIGHT_TO_LEFT = {"R", "AL"}
COVERAGE_SIZE = 16  # pixels
# A code point that Unicode never assigns, so every font draws its empty box for it.
UNASSIGNED = "\uffff"

# Without the FriBidi library, Pillow joins no Arabic letters and writes Hebrew backwards.
can_shape = features.check("raqm")


@dataclass(frozen=True)
class TextBlock:
    """A text in lines, ready to be drawn."""

    lines: tuple[str, ...]
    font: ImageFont.FreeTypeFont
    size: int  # pixels
    width: int  # pixels that the lines have at most
    is_right_to_left: bool

    @property
    def height(self) -> int:
        return round(len(self.lines) * self.size * LINE_HEIGHT)

    def draw(self, canvas: ImageDraw.ImageDraw, left: int, top: int, fill: str) -> None:
        """Draw the lines from a corner. Text from right to left ends at the right side."""
        for number, line in enumerate(self.lines):
            y = top + number * self.size * LINE_HEIGHT + self.size * BASELINE
            if self.is_right_to_left:
                canvas.text((left + self.width, y), line, fill=fill, font=self.font, anchor="rs")
            else:
                canvas.text((left, y), line, fill=fill, font=self.font, anchor="ls")


def set_text(
    text: str,
    *,
    width: int,
    sizes: Iterable[int],
    lines: int = 1,
    weight: Weight = "bold",
) -> TextBlock:
    """Set a text in the first of `sizes` in which it takes no more than so many lines.

    `width` and `sizes` are in pixels, sizes from large to small. When the text fits in none, the
    last line of the smallest ends with an ellipsis. The block has no lines when there is nothing to
    draw.
    """
    text = drawable(text)
    block = None
    for size in sizes:
        font = font_for(text, size, weight)
        wrapped = _wrap(text, font, width)
        block = TextBlock(tuple(wrapped), font, size, width, is_right_to_left(text))
        if len(wrapped) <= lines:
            return block
    if block is None:
        raise ValueError("set_text needs a size")
    kept = block.lines[: lines - 1]
    last = _shorten(" ".join(block.lines[lines - 1 :]), block.font, width)
    return TextBlock((*kept, last), block.font, block.size, width, block.is_right_to_left)


def font_for(text: str, size: int, weight: Weight = "bold") -> ImageFont.FreeTypeFont:
    """Return the first font that has all characters of a text, `size` in pixels."""
    path = INTER[weight]
    if not all(_has_glyph(path, char) for char in text):
        path = DEJAVU
    return _load(path, size)


def drawable(text: str) -> str:
    """Return a text in one line, without the characters that cannot be drawn."""
    composed = unicodedata.normalize("NFC", text)
    kept = [char for char in composed if char.isspace() or _is_drawable(char)]
    return " ".join("".join(kept).split())


def is_right_to_left(text: str) -> bool:
    """Return whether the first letter of a text is of a script from right to left."""
    for char in text:
        direction = unicodedata.bidirectional(char)
        if direction == "L" or direction in RIGHT_TO_LEFT:
            return direction in RIGHT_TO_LEFT
    return False


def _is_drawable(char: str) -> bool:
    if unicodedata.category(char) in INVISIBLE or ord(char) in VARIATION_SELECTORS:
        return False
    if not can_shape and unicodedata.bidirectional(char) in RIGHT_TO_LEFT:
        return False
    return any(_has_glyph(path, char) for path in (*INTER.values(), DEJAVU))


@lru_cache(maxsize=4000)
def _has_glyph(path: Path, char: str) -> bool:
    """Return whether a font draws a character as anything but its empty box."""
    if char.isspace():
        return True
    font = _load_unshaped(path)
    drawn = font.getmask(char)
    box = font.getmask(UNASSIGNED)
    return (drawn.size, bytes(drawn)) != (box.size, bytes(box))


@lru_cache(maxsize=64)
def _load(path: Path, size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(path, size)


@lru_cache
def _load_unshaped(path: Path) -> ImageFont.FreeTypeFont:
    """Return a font that draws each character alone.

    Shaping draws a dotted circle beside a mark, also beside one that the font does not have.
    """
    return ImageFont.truetype(path, COVERAGE_SIZE, layout_engine=ImageFont.Layout.BASIC)


def _wrap(text: str, font: ImageFont.FreeTypeFont, width: int) -> list[str]:
    """Break a text between words, and inside a word that is wider than a line."""
    lines: list[str] = []
    line = ""
    for word in _words(text, font, width):
        longer = f"{line} {word}".strip()
        if line and font.getlength(longer) > width:
            lines.append(line)
            longer = word
        line = longer
    if line:
        lines.append(line)
    return lines


def _words(text: str, font: ImageFont.FreeTypeFont, width: int) -> Iterable[str]:
    for word in text.split():
        rest = word
        while font.getlength(rest) > width and len(rest) > 1:
            size = _fitting(rest, font, width)
            yield rest[:size]
            rest = rest[size:]
        yield rest


def _fitting(text: str, font: ImageFont.FreeTypeFont, width: int) -> int:
    """Return how many characters of a text fit in a width, at least one."""
    size = 1
    while size < len(text) and font.getlength(text[: size + 1]) <= width:
        size += 1
    return size


def _shorten(text: str, font: ImageFont.FreeTypeFont, width: int) -> str:
    """Cut a text so that it fits in a width with an ellipsis behind it."""
    if font.getlength(text) <= width:
        return text
    size = _fitting(text, font, width - int(font.getlength(ELLIPSIS)))
    return text[:size].rstrip(" ,.;:·–—-") + ELLIPSIS
