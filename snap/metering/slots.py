"""Names of processes that are used again: `web-1`, `web-2`, `worker-1`.

The metrics of a process are in files with its name. A process that ends leaves its name to the next
one, which counts on in the same files. So recycled workers neither add files nor lose counts.

A name belongs to the process that holds the lock on its slot file, `<name>.slot`. The kernel
releases the lock when the process ends, however it ends.
"""

import fcntl
import os
import struct
from collections.abc import Iterator
from pathlib import Path

from snap.metering.processes import process_name

FOLDER_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
# The folder inside of it. The previous release, which may run beside this one, knows files by pid
# and fails at other names.
FOLDER = "processes"
SUFFIX = ".slot"
MAX_SLOTS = 4096  # of one kind on one host

# `struct flock` of 64-bit Linux: type, whence, start, length (0: the whole file), pid.
_LOCK = struct.Struct("hhqqi4x")
_WHOLE_FILE = _LOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)


class _Process:
    """The slot of this process."""

    name = ""
    # The open slot file holds the lock. -1: no slot could be taken.
    descriptor = -1


def slot_name() -> str:
    """Return the name of this process, unique on its host while it lives. Takes under 0.1 µs."""
    return _Process.name or take_slot()


def has_slot() -> bool:
    """Return whether this process has a slot. If not, the folder cannot be used."""
    return bool(slot_name()) and _Process.descriptor != -1


def is_removed() -> bool:
    """Return whether the slot file of this process, and so its folder, was removed meanwhile."""
    return _Process.descriptor != -1 and os.fstat(_Process.descriptor).st_nlink == 0


def folder() -> Path | None:
    """Return the folder of all metric files of this host; None for a process on its own."""
    path = os.environ.get(FOLDER_VARIABLE)
    if path:
        return Path(path) / FOLDER
    return None


def take_slot() -> str:
    """Take the first free slot of this process's kind and return its name.

    Without a usable folder the name is followed by the pid, and there is no slot.
    """
    kind = process_name()
    try:
        name, descriptor = _lock_first_free(kind)
    except OSError:
        name, descriptor = f"{kind}-{os.getpid()}", -1
    _Process.name, _Process.descriptor = name, descriptor
    return name


def _lock_first_free(kind: str) -> tuple[str, int]:
    where = folder()
    if where is None:
        raise FileNotFoundError(FOLDER_VARIABLE)
    where.mkdir(parents=True, exist_ok=True)
    for number in range(1, MAX_SLOTS):
        name = f"{kind}-{number}"
        descriptor = os.open(where / f"{name}{SUFFIX}", os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.fcntl(descriptor, fcntl.F_OFD_SETLK, _WHOLE_FILE)
            _prepare(where, name, descriptor)
        except BlockingIOError:
            os.close(descriptor)
            continue
        except OSError:
            os.close(descriptor)
            raise
        return name, descriptor
    raise FileExistsError(kind)


def _prepare(where: Path, name: str, descriptor: int) -> None:
    """Note the pid, and remove the gauges of the process that had the slot before."""
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, str(os.getpid()).encode(), 0)
    for path in where.glob(f"gauge_*_{name}.db"):
        path.unlink(missing_ok=True)


def living() -> Iterator[tuple[str, int]]:
    """Yield the name and the pid of each process of this host that has a slot.

    The pid is 0 if it is not known yet.
    """
    where = folder()
    if where is None:
        yield slot_name(), os.getpid()
        return
    for path in sorted(where.glob(f"*{SUFFIX}")):
        try:
            pid = _holder(path)
        except OSError:
            continue
        if pid is not None:
            yield path.stem, pid


def _holder(path: Path) -> int | None:
    """Return the pid of the process that holds a slot, or None. It takes no lock itself."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        found = fcntl.fcntl(descriptor, fcntl.F_OFD_GETLK, _WHOLE_FILE)
        kind = _LOCK.unpack(found)[0]
        if kind == fcntl.F_UNLCK:
            return None
        text = os.pread(descriptor, 20, 0)
    finally:
        os.close(descriptor)
    return int(text) if text.isdigit() else 0


def _leave_slot_to_parent() -> None:
    """In a forked child: leave the slot to the parent. The child takes its own when it counts."""
    if _Process.descriptor != -1:
        os.close(_Process.descriptor)
    _Process.name, _Process.descriptor = "", -1


os.register_at_fork(after_in_child=_leave_slot_to_parent)
