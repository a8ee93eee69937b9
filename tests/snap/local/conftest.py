from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.helpers.local_run import copied_checkout


@pytest.fixture(scope="module")
def checkout() -> Iterator[Path]:
    with copied_checkout() as copy:
        yield copy
