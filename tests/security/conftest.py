"""Fixtures that several attacks use."""

import time
from collections.abc import Iterator

import pytest

from tests.helpers.stack import Stack


@pytest.fixture
def quiet(stack: Stack) -> Iterator[Stack]:
    """The processes, whose logs must have no internal error of web and no traceback of ws."""
    starts = {name: len(stack.log(name)) for name in ("web", "ws")}
    yield stack
    time.sleep(0.2)
    logged = {name: stack.log(name)[start:] for name, start in starts.items()}
    assert "Internal Server Error" not in logged["web"]
    assert "Traceback" not in logged["ws"], logged["ws"]
