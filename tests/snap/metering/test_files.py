"""Metrics on a full disk: a process that writes to a mapped file without space is killed."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from snap.metering.files import SIZE
from tests.helpers.disks import small_disk

PROGRAM = """
import snap.metering
from prometheus_client import Counter
counter = Counter("seen", "Seen", ["page"])
for number in range(2000):
    counter.labels(f"page-{number}").inc(number)
print(counter.labels("page-7")._value.get(), counter.labels("page-1999")._value.get())
"""


@pytest.mark.parametrize(("kilobytes", "kept"), [(4, 0), (100, SIZE), (1000, SIZE * 4)])
def test_values_stay_in_memory_when_the_disk_has_no_space(
    tmp_path: Path, kilobytes: int, kept: int
) -> None:
    """The disk has space for no file, for one that cannot grow, or for all values."""
    with small_disk(tmp_path / "disk", kilobytes) as disk:
        environment = os.environ | {"PROMETHEUS_MULTIPROC_DIR": str(disk)}
        command = [sys.executable, "-c", PROGRAM]
        done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
        warnings = 1 if kept < SIZE * 4 else 0
        assert (done.returncode, done.stdout) == (0, "7.0 1999.0\n")
        assert done.stderr.count("metrics_kept_in_memory") == done.stderr.count("\n") == warnings
        [file] = disk.glob("*.db") or [disk / "command-1.slot"]
        status = file.stat()
        assert status.st_size == kept
        assert status.st_blocks * 512 == kept
