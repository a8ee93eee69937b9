"""`var/env` is read as it is written, and a full disk leaves the earlier file."""

import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from snap.environment.errors import SettingError
from snap.environment.file import add_file, read_file, update_file


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "env"


def test_a_value_is_everything_behind_the_sign(path: Path) -> None:
    path.write_text(
        "# A comment\n\n"
        "PLAIN=a=b\n"
        "DOLLAR=$x ${y}\n"
        "HASH=a #b\n"
        "SPACES= a \n"
        "SINGLE='a\\n'\n"
        'DOUBLE="a\\n\\"b\\" \\\\ $x"\n'
        "ONE='\n"
        "EMPTY=\n"
        "export EXPORTED=yes\r\n"
    )
    assert read_file(path) == {
        "PLAIN": "a=b",
        "DOLLAR": "$x ${y}",
        "HASH": "a #b",
        "SPACES": " a ",
        "SINGLE": "a\\n",
        "DOUBLE": 'a\n"b" \\ $x',
        "ONE": "'",
        "EMPTY": "",
        "EXPORTED": "yes",
    }


def test_lines_of_people_stay_as_they_are(path: Path) -> None:
    path.write_text("# Mine\nEMAIL_HOST='mail'\nOLD=1\n\nREDIS_URL=old\n")
    update_file(path, {"REDIS_URL": "new", "SECRET": "a\nb"}, remove=frozenset({"OLD"}))
    assert path.read_text() == "# Mine\nEMAIL_HOST='mail'\n\nREDIS_URL=new\nSECRET=\"a\\nb\"\n"
    assert path.stat().st_mode & 0o777 == 0o600


def test_real_variables_win(path: Path) -> None:
    path.write_text("A=file\nB=file\nC=file\n")
    environ = {"A": "real", "C": ""}
    add_file(path, environ)
    assert environ == {"A": "real", "B": "file", "C": "file"}


@pytest.mark.parametrize("line", ["NAME", "a b=c", "NAME = value", "1A=b"])
def test_a_line_that_is_no_variable_is_named_by_its_number(path: Path, line: str) -> None:
    path.write_text(f"A=b\n{line}\n")
    with pytest.raises(SettingError, match=r"line 2 of .*env must be a comment or NAME=value\.$"):
        read_file(path)


def test_a_file_that_cannot_be_read_is_one_sentence(path: Path) -> None:
    assert read_file(path) == {}
    path.mkdir()
    with pytest.raises(SettingError, match=r"env cannot be read \(is a directory\)\.$"):
        read_file(path)


def test_bytes_that_are_no_text_stay(path: Path) -> None:
    path.write_bytes(b"A=\xff\n")
    update_file(path, {"B": "1"}, remove=frozenset())
    assert path.read_bytes() == b"A=\xff\nB=1\n"
    environ: dict[str, str] = {}
    add_file(path, environ)
    assert os.fsencode(environ["A"]) == b"\xff"


def test_a_full_disk_leaves_the_earlier_file(path: Path) -> None:
    path.write_text("SECRET_KEY=kept\n")
    program = (
        "import pathlib, sys; from snap.environment.file import update_file;"
        "update_file(pathlib.Path(sys.argv[1]), {'A': 'x' * 9999}, remove=frozenset())"
    )
    refused = subprocess.run(
        [sys.executable, "-c", program, str(path)],
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100)),
    )
    assert "File too large" in refused.stderr
    assert path.read_text() == "SECRET_KEY=kept\n"
