"""The codewords of a QR code at level M: data and error correction (ISO/IEC 18004, 7.4 to 7.6).

The package computes the same with a polynomial object for each step, which makes two thirds of what
drawing a code costs. The table of blocks and the arithmetic of the field are still the package's.
"""

from functools import lru_cache
from itertools import chain, cycle, islice, zip_longest

from qrcode.base import gexp, glog, rs_blocks
from qrcode.constants import ERROR_CORRECT_M

BYTES = 0b0100  # the mode of data that may be any byte
PADDING = (0xEC, 0x11)
# From this version on a length takes 16 bits instead of 8.
LONG_LENGTHS = 10


def codewords(data: bytes, version: int) -> list[int]:
    """Return all codewords in the order in which they are drawn. The data must fit the version."""
    blocks = rs_blocks(version, ERROR_CORRECT_M)
    size = sum(block.data_count for block in blocks)
    rest = iter(_padded(data, version, size))
    parts = [bytes(islice(rest, block.data_count)) for block in blocks]
    corrections = [
        _correction(part, block.total_count - block.data_count)
        for part, block in zip(parts, blocks, strict=True)
    ]
    # One codeword of each block in turn; blocks may differ in length by one.
    columns = chain(zip_longest(*parts), zip_longest(*corrections))
    return [word for column in columns for word in column if word is not None]


def _padded(data: bytes, version: int, size: int) -> bytes:
    """Return mode, length, data and the terminator of four zeros, filled up to the size."""
    length_bits = 16 if version >= LONG_LENGTHS else 8
    bits = BYTES << length_bits | len(data)
    bits = (bits << 8 * len(data) | int.from_bytes(data)) << 4
    words = bits.to_bytes(1 + length_bits // 8 + len(data))
    return words + bytes(islice(cycle(PADDING), size - len(words)))


def _correction(block: bytes, count: int) -> bytes:
    """Return the remainder of a block by the generator polynomial, all of its words in one number.

    As a CRC is computed: what a byte adds to the remainder is looked up.
    """
    additions, top = _additions(count), 8 * (count - 1)
    below_top = (1 << top) - 1
    remainder = 0
    for byte in block:
        remainder = (remainder & below_top) << 8 ^ additions[remainder >> top ^ byte]
    return remainder.to_bytes(count)


@lru_cache
def _additions(count: int) -> list[int]:
    """Return what each byte times the generator polynomial is, below the first of its terms."""
    generator = [1]
    for power in range(count):
        shifted = [_times(factor, gexp(power)) for factor in generator]
        generator = [a ^ b for a, b in zip([*generator, 0], [0, *shifted], strict=True)]
    return [int.from_bytes(_times(f, byte) for f in generator[1:]) for byte in range(256)]


def _times(a: int, b: int) -> int:
    return int(gexp(glog(a) + glog(b))) if a and b else 0
