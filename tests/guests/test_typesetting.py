"""Text on images: every script is drawn or left out, and no line is wider than its width."""

import hashlib
from pathlib import Path

import pytest
from PIL import Image, ImageDraw

from guests.typesetting import FOLDER, can_shape, drawable, font_for, is_right_to_left, set_text

LONG_TITLE = "Festa de encerramento da temporada com todas as bandas que passaram pela cave " * 2
LONG_WORD = "Donaudampfschifffahrtselektrizitätenhauptbetriebswerkbauunterbeamtengesellschaft"


@pytest.mark.parametrize(
    ("text", "drawn"),
    [
        ("Conceição à noite – «O’Neill», 3ª", "Conceição à noite – «O’Neill», 3ª"),
        ("Conceic\u0327a\u0303o", "Conceição"),
        ("🎉 Festa 🎉", "Festa"),
        ("👩‍🎤👍🏽\ufe0f", ""),
        ("Noite\u200e de\n\nAbertura\t", "Noite de Abertura"),
        ("Вечеринка Žižkov Αθήνα", "Вечеринка Žižkov Αθήνα"),
        ("漢字", ""),
        ("नमस्ते กรุงเทพ தமிழ்", ""),
        ("a\u0361b", "a\u0361b"),
        # Marks as well: they would be circles and empty boxes.
        ("दीवाली ปาร์ตี้ தமிழ்", ""),
        ("Tiếng Việt x̰y", "Tiếng Việt x̰y"),
        ("", ""),
    ],
)
def test_what_no_font_draws_is_left_out(text: str, drawn: str) -> None:
    assert drawable(text) == drawn


# Pillow joins the letters of these scripts with FriBidi, which bare machines do not have. They are
# left out there.
RIGHT_TO_LEFT = ["حفلة الليلة", "מסיבה"]
DRAWN = RIGHT_TO_LEFT if can_shape else []


@pytest.mark.parametrize("text", RIGHT_TO_LEFT)
def test_scripts_from_right_to_left_are_shaped_or_left_out(text: str) -> None:
    assert drawable(text) == (text if can_shape else "")


@pytest.mark.parametrize("text", ["Noite de Abertura", "Вечеринка", "Αθήνα", *DRAWN])
def test_letters_are_drawn_and_not_empty_boxes(text: str) -> None:
    letters = {pixels_of(letter) for letter in set(text) if not letter.isspace()}
    assert pixels_of("\uffff") not in letters
    assert len(letters) > 3


def pixels_of(text: str) -> bytes:
    canvas = Image.new("L", (100, 100))
    ImageDraw.Draw(canvas).text((10, 10), text, fill=255, font=font_for(text.strip("\uffff"), 60))
    return canvas.tobytes()


@pytest.mark.parametrize(
    "text", [LONG_TITLE, LONG_WORD, "M" * 120, "a b " * 30, *(text * 20 for text in DRAWN)]
)
@pytest.mark.parametrize("lines", [1, 2, 3])
def test_no_line_is_wider_than_its_width(text: str, lines: int) -> None:
    block = set_text(text, width=500, sizes=(60, 40), lines=lines)
    assert 1 <= len(block.lines) <= lines
    assert all(block.font.getlength(line) <= block.width for line in block.lines)
    assert block.lines[-1].endswith("…")


def test_the_largest_size_that_fits_is_chosen() -> None:
    short = set_text("Baile", width=500, sizes=(90, 60, 30))
    longer = set_text("Baile da Baixa e do Rio", width=500, sizes=(90, 60, 30))
    assert (short.size, longer.size) == (90, 30)
    assert longer.lines == ("Baile da Baixa e do Rio",)


def test_nothing_to_draw_has_no_height() -> None:
    assert set_text("🎉", width=500, sizes=(60,)).height == 0


@pytest.mark.skipif(not can_shape, reason="needs the library FriBidi")
def test_text_from_right_to_left_ends_at_the_right_side() -> None:
    assert is_right_to_left("12 מסיבה Lisboa")
    assert not is_right_to_left("Lisboa מסיבה")
    canvas = Image.new("L", (600, 100))
    block = set_text("מסיבה", width=500, sizes=(60,))
    block.draw(ImageDraw.Draw(canvas), 50, 10, "white")
    box = canvas.getbbox()
    assert box is not None
    assert box[0] > 300
    assert 540 <= box[2] <= 555


def test_fonts_are_the_files_of_their_authors() -> None:
    for line in (FOLDER / "SHA256SUMS").read_text().splitlines():
        digest, name = line.split()
        assert hashlib.sha256((FOLDER / name).read_bytes()).hexdigest() == digest
    folders = [path for path in Path(FOLDER).iterdir() if path.is_dir()]
    assert all((folder / "LICENSE").exists() for folder in folders)
