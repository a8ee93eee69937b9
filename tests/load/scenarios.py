"""How many people come, and how: an opening is quiet, and then everybody is there."""

from dataclasses import dataclass
from typing import Self

READY = [f"{people}-in-{minutes}" for minutes in (30, 1) for people in (200, 500, 1000, 5000)]

# Seconds before the opening, and the share of people who are there too early.
QUIET = 10.0
EARLY = 0.02
# Seconds that the last ones have to end their way.
PATIENCE = 60.0

# Of every twenty people. A known guest has a live session; a returning one is on the list already;
# an impatient one sends forms twice and reloads.
KINDS = ["new"] * 12 + ["known"] * 3 + ["returning"] * 2 + ["impatient"] * 3


@dataclass(frozen=True)
class Scenario:
    """So many people within so many minutes, most of them at the beginning."""

    people: int
    minutes: float

    @classmethod
    def named(cls, name: str) -> Self:
        """Read `500-in-1`. Raises ValueError."""
        people, _, minutes = name.partition("-in-")
        return cls(int(people), float(minutes))

    @property
    def seconds(self) -> float:
        return self.minutes * 60

    def arrived(self, seconds: float) -> int:
        """Return how many have come so long after the start, quiet time included."""
        early = max(1, int(self.people * EARLY))
        if seconds < QUIET:
            return max(1, int(early * seconds / QUIET))
        gone = min(1.0, (seconds - QUIET) / self.seconds)
        # The rush is over half-way for three quarters of the people.
        return early + round((self.people - early) * (1 - (1 - gone) ** 2))


def kind_of(number: int) -> str:
    """Return what kind of guest the so-manieth person is, mixed evenly."""
    return KINDS[number * 7 % len(KINDS)]


def count_of(kind: str, people: int) -> int:
    return sum(kind_of(number) == kind for number in range(people))
