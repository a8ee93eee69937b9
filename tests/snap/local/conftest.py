from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.helpers.local_run import copied_checkout, end_all_runs


@pytest.fixture(scope="module")
def checkout() -> Iterator[Path]:
    with copied_checkout() as copy:
        yield copy


@pytest.fixture(autouse=True)
def _no_run_is_left() -> Iterator[None]:
    yield
    end_all_runs()
