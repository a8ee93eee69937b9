from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from django.conf import settings

from guests.requests.creating import waiters


@pytest.fixture
def all_threads_wait() -> Iterator[None]:
    """All threads that may wait for a guest are waiting."""
    with ExitStack() as waiting:
        for _ in range(settings.CREATE_WAITERS):
            waiting.enter_context(waiters)
        yield
