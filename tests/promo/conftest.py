from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from django.conf import settings

from guests.requests.creating import waiters


@pytest.fixture
def all_wait() -> Iterator[None]:
    """As many threads as may wait for a guest do so."""
    with ExitStack() as waiting:
        for _ in range(settings.CREATE_WAITERS):
            waiting.enter_context(waiters)
        yield
