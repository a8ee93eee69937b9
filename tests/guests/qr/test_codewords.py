"""Our codewords are those of the qrcode package, in every version that we may need."""

from random import Random

import pytest
from qrcode.constants import ERROR_CORRECT_M
from qrcode.util import QRData, create_data

from guests.qr.codewords import codewords

# Bytes in a version at level M (ISO/IEC 18004 table 7): versions with one block and with several,
# with equal and with different lengths of blocks, with a length field of 8 and of 16 bits.
CAPACITIES = {1: 14, 2: 26, 3: 42, 4: 62, 5: 84, 8: 152, 9: 180, 10: 213, 14: 362, 21: 711}


@pytest.mark.parametrize("version", CAPACITIES)
@pytest.mark.parametrize("short_of", [0, 1, 2, 7])
def test_codewords_are_those_of_the_package(version: int, short_of: int) -> None:
    data = Random(version).randbytes(CAPACITIES[version] - short_of)
    # Mode 4 is the mode of bytes.
    theirs = create_data(version, ERROR_CORRECT_M, [QRData(data, mode=4)])
    assert codewords(data, version) == theirs
