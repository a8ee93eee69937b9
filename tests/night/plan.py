"""What happens in the night, and when."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Plan:
    """People who arrive within `seconds`. In the middle PostgreSQL is away for `outage` seconds.

    `every` is seconds between scrapes, None: as deployed. `settle` is seconds after the arrivals in
    which alerts end, modes return and emails are sent.
    """

    people: int
    seconds: float
    outage: float
    every: int | None
    settle: float
    page: Path
    folder: Path

    @property
    def rate(self) -> float:
        return self.people / self.seconds

    @property
    def breaks_after(self) -> float:
        return (self.seconds - self.outage) / 2

    @property
    def screenshots(self) -> Path:
        return self.page.parent / "screenshots"
