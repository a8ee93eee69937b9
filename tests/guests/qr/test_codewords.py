"""Our codewords beside the package's: the same, in every version that a text of ours may need."""

from random import Random

import pytest
from qrcode.constants import ERROR_CORRECT_M
from qrcode.util import QRData, create_data

from guests.qr.codewords import codewords

# Bytes that versions hold at level M (ISO/IEC 18004 table 7): with one block and with several, of
# the same and of two lengths, with a length of 8 and of 16 bits.
CAPACITIES = {1: 14, 2: 26, 3: 42, 4: 62, 5: 84, 8: 152, 9: 180, 10: 213, 14: 362, 21: 711}


@pytest.mark.parametrize("version", CAPACITIES)
@pytest.mark.parametrize("short_of", [0, 1, 2, 7])
def test_they_are_those_of_the_package(version: int, short_of: int) -> None:
    data = Random(version).randbytes(CAPACITIES[version] - short_of)
    # Mode 4 is that of bytes.
    theirs = create_data(version, ERROR_CORRECT_M, [QRData(data, mode=4)])
    assert codewords(data, version) == theirs
