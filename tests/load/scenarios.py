"""Scenarios: how many people arrive, of which kinds, and when."""

from dataclasses import dataclass
from typing import Self

READY = [f"{people}-in-{minutes}" for minutes in (30, 1) for people in (200, 500, 1000, 5000)]

# Seconds before the opening, and the share of people who arrive before it.
QUIET = 10.0
EARLY = 0.02
# Seconds that the last people have to end their journeys.
PATIENCE = 60.0

# The kinds of twenty people. A known guest has a session, a returning guest is on the list, and an
# impatient guest sends forms twice and reloads.
KINDS = ["new"] * 12 + ["known"] * 3 + ["returning"] * 2 + ["impatient"] * 3


@dataclass(frozen=True)
class Scenario:
    """A number of people who arrive within some minutes, most of them at the beginning."""

    people: int
    minutes: float

    @classmethod
    def named(cls, name: str) -> Self:
        """Read a name such as `500-in-1`. Raises ValueError."""
        people, _, minutes = name.partition("-in-")
        return cls(int(people), float(minutes))

    @property
    def seconds(self) -> float:
        return self.minutes * 60

    def arrived(self, seconds: float) -> int:
        """Return how many people have arrived after `seconds`, the quiet time included."""
        early = max(1, int(self.people * EARLY))
        if seconds < QUIET:
            return max(1, int(early * seconds / QUIET))
        elapsed = min(1.0, (seconds - QUIET) / self.seconds)
        # Three quarters of the people arrive in the first half.
        return early + round((self.people - early) * (1 - (1 - elapsed) ** 2))


def kind_of(number: int) -> str:
    """Return the kind of a person by number. The kinds are mixed evenly."""
    return KINDS[number * 7 % len(KINDS)]


def count_of(kind: str, people: int) -> int:
    return sum(kind_of(number) == kind for number in range(people))
