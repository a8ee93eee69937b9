"""The codewords of a QR code at level M: data and error correction (ISO/IEC 18004, 7.4 to 7.6).

The qrcode package computes the same with a polynomial object for each step, which is two thirds of
its time for a code. This module uses the package's table of blocks and its field arithmetic.
"""

from functools import lru_cache
from itertools import cycle, islice, zip_longest

from qrcode.base import gexp, glog, rs_blocks
from qrcode.constants import ERROR_CORRECT_M

BYTE_MODE = 0b0100
PADDING = (0xEC, 0x11)
# From this version on a length takes 16 bits instead of 8.
LONG_LENGTH_VERSION = 10


def codewords(data: bytes, version: int) -> list[int]:
    """Return all codewords in the order in which they are drawn. The data must fit the version."""
    blocks = rs_blocks(version, ERROR_CORRECT_M)
    size = 0
    for block in blocks:
        size += block.data_count
    remaining = iter(_padded(data, version, size))
    parts = []
    corrections = []
    for block in blocks:
        part = bytes(islice(remaining, block.data_count))
        parts.append(part)
        corrections.append(_correction(part, block.total_count - block.data_count))
    return [*_interleaved(parts), *_interleaved(corrections)]


def _interleaved(blocks: list[bytes]) -> list[int]:
    """Return one codeword of each block in turn. Blocks may differ in length by one."""
    words = []
    for column in zip_longest(*blocks):
        words += [word for word in column if word is not None]
    return words


def _padded(data: bytes, version: int, size: int) -> bytes:
    """Return mode, length, data and the terminator of four zeros, filled up to the size."""
    length_bits = 8
    if version >= LONG_LENGTH_VERSION:
        length_bits = 16
    bits = BYTE_MODE << length_bits | len(data)
    bits = (bits << 8 * len(data) | int.from_bytes(data)) << 4
    words = bits.to_bytes(1 + length_bits // 8 + len(data))
    return words + bytes(islice(cycle(PADDING), size - len(words)))


def _correction(block: bytes, count: int) -> bytes:
    """Return the remainder of a block divided by the generator polynomial, as `count` bytes.

    The remainder is one large number. As in a table-driven CRC, the contribution of each byte is
    looked up.
    """
    contributions = _contributions(count)
    top = 8 * (count - 1)
    below_top = (1 << top) - 1
    remainder = 0
    for byte in block:
        remainder = (remainder & below_top) << 8 ^ contributions[remainder >> top ^ byte]
    return remainder.to_bytes(count)


@lru_cache
def _contributions(count: int) -> list[int]:
    """Return the product of each byte and the generator polynomial, without its first term."""
    generator = [1]
    for power in range(count):
        product = [*generator, 0]
        for index, factor in enumerate(generator, start=1):
            product[index] ^= _times(factor, gexp(power))
        generator = product
    contributions = []
    for byte in range(256):
        words = [_times(factor, byte) for factor in generator[1:]]
        contributions.append(int.from_bytes(words))
    return contributions


def _times(a: int, b: int) -> int:
    """Return the product in the field of 256 elements."""
    if a == 0 or b == 0:
        return 0
    return int(gexp(glog(a) + glog(b)))
