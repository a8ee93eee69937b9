"""Files of metrics whose space on the disk is reserved.

prometheus_client maps a file into memory whose blocks the disk gives out at the first write. On a
full disk that write is no error: the kernel ends the process by SIGBUS. Here a file gets its space
when it is made or grows. Without space on the disk the values stay in the memory of their process,
where /metrics does not find them.
"""

import os
from io import BufferedRandom

from prometheus_client import values
from prometheus_client.mmap_dict import MmapedDict

# The size of a new file, as prometheus_client makes it.
SIZE = 1 << 16


class ReservedDict(MmapedDict):
    """The values of one process in one file."""

    def __init__(self, filename: str, read_mode: bool = False) -> None:
        if not read_mode and not _reserve_file(filename):
            # A name of the descriptor, which the base class opens.
            with _memory_file() as memory:
                super().__init__(f"/proc/self/fd/{memory.fileno()}")  # type: ignore[no-untyped-call]
            return
        super().__init__(filename, read_mode)  # type: ignore[no-untyped-call]

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


def _reserve_file(path: str) -> bool:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        return _reserve(descriptor, max(SIZE, os.fstat(descriptor).st_size))
    finally:
        os.close(descriptor)


def _reserve(descriptor: int, size: int) -> bool:
    """Reserve the first bytes of a file on its disk. Return whether there is space for them."""
    try:
        os.posix_fallocate(descriptor, 0, size)
    except OSError:
        return False
    return True


def _memory_file() -> BufferedRandom:
    return os.fdopen(os.memfd_create("metrics"), "r+b")


values.MmapedDict = ReservedDict  # type: ignore[attr-defined]
