"""Metrics when their folder cannot be used: processes go on, and say so once."""

import os
import signal
from pathlib import Path

import pytest

from snap.metering.files import SIZE
from snap.metering.slots import FOLDER
from tests.helpers.disks import small_disk
from tests.helpers.metering import run, values

MANY = """
for number in range(2000):
    seen.labels(f"page-{number}").inc(number)
print(seen.labels("page-7")._value.get(), seen.labels("page-1999")._value.get())
"""
WARNING = "metrics_kept_in_memory"


@pytest.mark.parametrize(("kilobytes", "sizes"), [(4, []), (100, [SIZE]), (1000, [SIZE, SIZE * 4])])
def test_values_stay_in_memory_when_the_disk_has_no_space(
    tmp_path: Path, kilobytes: int, sizes: list[int]
) -> None:
    """The disk has space for no file, for one that cannot grow, or for all values.

    A process that writes to a mapped file without space is killed.
    """
    with small_disk(tmp_path / "disk", kilobytes) as disk:
        done = run(disk, MANY)
        assert (done.returncode, done.stdout) == (0, "7.0 1999.0\n")
        warnings = 0 if kilobytes == 1000 else 1
        assert done.stderr.count(WARNING) == done.stderr.count("\n") == warnings
        statuses = sorted((path.stat() for path in disk.rglob("*.db")), key=lambda it: it.st_size)
        assert [status.st_size for status in statuses if status.st_size] == sizes
        assert all(status.st_blocks * 512 == status.st_size for status in statuses)


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    """Each process shows its own values, as without a folder."""
    (tmp_path / "file").touch()
    program = MANY + (
        "from snap.metering.collecting import collect\n"
        "print({m.name: len(m.samples) for m in collect()})"
    )
    done = run(tmp_path / "file" / "none", program)
    assert (done.returncode, done.stdout.splitlines()) == (
        0,
        ["7.0 1999.0", "{'seen': 2000, 'took': 5}"],
    )
    assert done.stderr.count(WARNING) == done.stderr.count("\n") == 1


def test_a_folder_that_does_not_exist_is_made(tmp_path: Path) -> None:
    done = run(tmp_path / "new" / "folder", MANY)
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "new" / "folder" / FOLDER / "web-1.slot").exists()


def test_a_folder_that_vanishes_later(tmp_path: Path) -> None:
    """The process goes on. A process that collects metrics logs it once."""
    program = f"import shutil; shutil.rmtree({str(tmp_path / 'x')!r}){MANY}"
    collect = "\nfrom snap.metering.collecting import collect\ncollect(); print(collect())"
    done = run(tmp_path / "x", f"seen.labels('a').inc()\n{program}{collect}")
    assert (done.returncode, done.stdout) == (0, "7.0 1999.0\n[]\n")
    assert done.stderr == "metrics_folder_removed\n"


def test_children_of_a_process_that_has_warned_do_not_repeat_it(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    fork = "\nif not os.fork():\n    seen.labels('b').inc(); os._exit(0)\nos.wait()"
    done = run(tmp_path / "file", f"seen.labels('a').inc(){fork}{fork}")
    assert (done.returncode, done.stderr.count(WARNING)) == (0, 1)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\0" * 3,
        b"garbage" * 100,
        # A length that leads back, and one past the end.
        b"\x40\0\0\0\0\0\0\0" + b"\xf0\xff\xff\xff" * 14,
        b"\x40\0\0\0\0\0\0\0" + b"\x7f\0\0\0" + b"x" * 52,
        b"\xff\xff\xff\x7f" + b"\0" * 100,
        # The pages behind the first one were not on the disk at a power cut.
        b"\x40\0\0\0" + b"\0" * 5000,
        b'\x40\0\0\0\0\0\0\0\x04\0\0\0["x]' + b"\0" * 100,
    ],
)
def test_a_damaged_file_is_left_out_and_begun_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes
) -> None:
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path))
    folder = tmp_path / FOLDER
    folder.mkdir()
    (folder / "counter_web-1.db").write_bytes(content)
    assert run(tmp_path, "seen.labels('a').inc()", kind="worker").stderr == ""
    assert values("seen_total") == {("a",): 1}
    done = run(tmp_path, "seen.labels('a').inc()")
    assert (done.returncode, done.stderr) == (0, "")
    assert values("seen_total") == {("a",): 2}


def test_a_process_that_is_killed_while_it_counts_damages_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path))
    program = """
import signal, threading
threading.Timer(0.05, lambda: os.kill(os.getpid(), signal.SIGKILL)).start()
number = 0
while True:
    seen.labels(f"page-{number % 3000}").inc()
    number += 1
"""
    for _ in range(3):
        assert run(tmp_path, program).returncode == -signal.SIGKILL
    assert values("seen_total")["page-0",] >= 3
    assert len(os.listdir(tmp_path / FOLDER)) == 3
