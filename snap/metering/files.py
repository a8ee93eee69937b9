"""Files of metrics whose space on the disk is reserved.

prometheus_client maps a file into memory whose blocks the disk gives out at the first write. On a
full disk that write is no error: the kernel ends the process by SIGBUS. Here a file gets its space
when it is made or grows. Without a folder, or without space on the disk, the values stay in the
memory of their process, where the /metrics of other processes does not find them. The log says so
once.
"""

import logging
import os
from io import BufferedRandom
from pathlib import Path
from threading import Lock

from prometheus_client import values
from prometheus_client.mmap_dict import MmapedDict

from snap.metering import slots
from snap.metering.entries import CorruptFileError, read_entries

log = logging.getLogger(__name__)

# The size of a new file, as prometheus_client makes it.
SIZE = 1 << 16


class _Process:
    """What this process keeps in memory because it could not keep it in files."""

    in_memory: "dict[str, ReservedDict]" = {}
    has_warned = False


class ReservedDict(MmapedDict):
    """The values of one process in one file."""

    def __init__(self, filename: str, read_mode: bool = False) -> None:
        path = Path(filename)
        where = slots.folder()
        if where is not None:
            path = where / path.name
        self.file_name = path.name
        if not slots.has_slot() or not _reserve_file(path):
            # A name of the descriptor, which the base class opens.
            with _memory_file() as memory:
                super().__init__(f"/proc/self/fd/{memory.fileno()}")  # type: ignore[no-untyped-call]
            self._note_memory()
            return
        super().__init__(str(path), read_mode)  # type: ignore[no-untyped-call]

    def _init_value(self, key: str) -> None:
        # The longest entry is the key, 4 bytes, padding and two numbers.
        wanted = self._used + len(key.encode()) + 64
        if wanted > self._capacity and not _reserve(self._f.fileno(), self._capacity * 2):
            self._move_to_memory()
        super()._init_value(key)  # type: ignore[no-untyped-call]

    def _move_to_memory(self) -> None:
        memory = _memory_file()
        memory.write(self._m)
        memory.flush()
        self._f.close()
        self._f = memory
        self._note_memory()

    def _note_memory(self) -> None:
        _Process.in_memory[self.file_name] = self
        if not _Process.has_warned:
            _Process.has_warned = True
            log.warning("metrics_kept_in_memory", extra={"file": self.file_name})

    def content(self) -> bytes:
        """Return the bytes of the file."""
        return bytes(self._m)


def in_memory() -> dict[str, bytes]:
    """Return the contents of the files that this process could not write, by their names."""
    return {name: kept.content() for name, kept in _Process.in_memory.items()}


def _reserve_file(path: Path) -> bool:
    """Make a file with its space, or take one over. Return whether it can be used."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError:
        return False
    try:
        _empty_if_corrupt(descriptor)
        return _reserve(descriptor, max(SIZE, os.fstat(descriptor).st_size))
    finally:
        os.close(descriptor)


def _empty_if_corrupt(descriptor: int) -> None:
    """Empty a file that cannot be read, such as one that was not on the disk at a power cut."""
    content = os.pread(descriptor, os.fstat(descriptor).st_size, 0)
    try:
        for _ in read_entries(content):
            pass
    except CorruptFileError:
        os.ftruncate(descriptor, 0)


def _reserve(descriptor: int, size: int) -> bool:
    """Reserve the first bytes of a file on its disk. Return whether there is space for them."""
    try:
        os.posix_fallocate(descriptor, 0, size)
    except OSError:
        return False
    return True


def _memory_file() -> BufferedRandom:
    return os.fdopen(os.memfd_create("metrics"), "r+b")


def install() -> None:
    """Make all metrics that are made from now on use the files and names of this package.

    The library has one lock for all values. It is held during a fork: another thread could hold it
    then, and a child would wait for it for ever.
    """
    values.MmapedDict = ReservedDict  # type: ignore[attr-defined]
    if slots.folder() is None:
        return
    lock = Lock()
    os.register_at_fork(
        before=lock.acquire, after_in_parent=lock.release, after_in_child=lock.release
    )
    setattr(values, "Lock", lambda: lock)  # noqa: B010 (the name is not exported)
    try:
        values.ValueClass = values.MultiProcessValue(slots.slot_name)  # type: ignore[no-untyped-call]
    finally:
        setattr(values, "Lock", Lock)  # noqa: B010


def _forget_memory() -> None:
    """In a forked child: what the parent keeps in memory is the parent's."""
    _Process.in_memory = {}


os.register_at_fork(after_in_child=_forget_memory)
