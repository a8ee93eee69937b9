"""`make night` in a small form: what it writes is there, and nothing is lost."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from snap.local.processes import BASE_DIR
from tests.helpers.watching import program


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that PostgreSQL's user reaches too, which is another than root."""
    folder = Path(tempfile.mkdtemp(prefix="snap-night-"))
    folder.chmod(0o711)
    yield folder / "night"
    shutil.rmtree(folder)


@pytest.mark.slow
@pytest.mark.timeout(500)
def test_a_small_night_is_recorded(folder: Path, tmp_path: Path, chromium_path: str) -> None:
    program("prometheus")
    program("prometheus-alertmanager")
    page = tmp_path / "page.md"
    command = [sys.executable, "-m", "tests.night", "--people", "60", "--seconds", "26"]
    command += ["--outage", "18", "--every", "2", "--settle", "40", "--write", str(page)]
    command += ["--folder", str(folder)]
    # Emergency mode would postpone the emails for longer than the test waits.
    env = os.environ | {"MODE_EMAIL_SECONDS": "1"}
    ended = subprocess.run(
        command, cwd=BASE_DIR, env=env, capture_output=True, text=True, check=False
    )
    assert page.exists(), ended.stdout + ended.stderr
    text = page.read_text()
    for what in ("lost", "doubled", "over the capacity"):
        assert f"| {what} | 0 |" in text, text
    assert "[DatabaseAway](#databaseaway)" in text
    assert "CRITICAL: DatabaseAway" in text
    for event in ("guest_request_accepted", "guest_request_journalled", "guest_request_ended"):
        assert f"| {event} |" in text, text
    assert text.count("| emails | email_sent |") >= 2, text
    for screen in ("rush-phone", "outage-phone", "outage-desktop", "end-desktop"):
        assert (tmp_path / "screenshots" / f"night-{screen}.png").stat().st_size > 1000
