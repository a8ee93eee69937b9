"""What happens in the night, and when."""

from dataclasses import dataclass
from pathlib import Path

# Seconds after the arrivals in which alerts end, modes return and emails are sent.
SETTLE = 240.0


@dataclass(frozen=True)
class Plan:
    """People who arrive within `seconds`. In the middle PostgreSQL is away for `outage` seconds.

    `every` is seconds between scrapes, None: as deployed.
    """

    people: int
    seconds: float
    outage: float
    every: int | None
    page: Path

    @property
    def rate(self) -> float:
        return self.people / self.seconds

    @property
    def breaks_after(self) -> float:
        return (self.seconds - self.outage) / 2

    @property
    def screenshots(self) -> Path:
        return self.page.parent / "screenshots"
