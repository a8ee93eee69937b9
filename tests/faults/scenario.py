"""The types of the fixtures that scenarios use."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import NoReturn

import pytest

from tests.faults.result import ScenarioResult
from tests.faults.storm import Storm

MakeStorm = Callable[..., Storm]
Conclude = Callable[..., ScenarioResult]


@dataclass(frozen=True)
class Form:
    """The length of a scenario: `make test` runs the short form, `make faults` the long form."""

    is_long: bool
    soak_minutes: float

    def __call__(self, short: float, long: float) -> float:
        return long if self.is_long else short


def loud_skip(message: str) -> NoReturn:
    """Skip a test because something is not installed. In CI the test fails."""
    if os.environ.get("CI") == "true":
        pytest.fail(message)
    pytest.skip(message)
