"""The entries of a metric file, as prometheus_client's `mmap_dict` writes them."""

import struct
from collections.abc import Iterator

_INTEGER = struct.Struct("i").unpack_from
_TWO_DOUBLES = struct.Struct("dd").unpack_from
HEADER = 8  # bytes: how much of the file is used, and padding


class CorruptFileError(Exception):
    """A file is no file of metrics, or only its beginning was written."""


def read_entries(data: bytes, begin: int = HEADER) -> Iterator[tuple[bytes, int]]:
    """Yield the key of each entry and the position of its value, from a position on.

    A file without a single entry is none of metrics yet. Raises CorruptFileError.
    """
    used = used_bytes(data)
    position = begin
    while position < used:
        length = _INTEGER(data, position)[0]
        value_at = position + 4 + length + (8 - (length + 4) % 8)
        if length <= 0 or value_at + 16 > used:
            raise CorruptFileError(position)
        key = data[position + 4 : position + 4 + length]
        if not key.startswith(b'["'):
            raise CorruptFileError(position)
        yield key, value_at
        position = value_at + 16


def used_bytes(data: bytes) -> int:
    """Return how many bytes of a file are used. Raises CorruptFileError."""
    if len(data) < HEADER:
        return 0
    used: int = _INTEGER(data, 0)[0]
    if not 0 <= used <= len(data):
        raise CorruptFileError(used)
    return used


def value_at(data: bytes, position: int) -> tuple[float, float]:
    """Return the value at a position and its time, in seconds since 1970 or 0."""
    value, time = _TWO_DOUBLES(data, position)
    return value, time
