"""What each part of the bench is given: the stack, the event, and how long it may take."""

from dataclasses import dataclass, field
from datetime import timedelta

from django.utils import timezone

from guests.models import Event
from tests.bench.journey import Journey, Pauses, Phones
from tests.bench.stack import ProductionStack

CAPACITY = 50_000_000


@dataclass(frozen=True)
class Bench:
    """`seconds` is the length of one measurement. A `quick` bench shows only that it works."""

    stack: ProductionStack
    seconds: float = 60.0
    quick: bool = False
    phones: Phones = field(default_factory=Phones)

    def size(self, number: int) -> int:
        """Return a number of things, smaller when the bench is quick."""
        return max(2, number // 100) if self.quick else number

    def journey(self, event: Event, pauses: Pauses = Pauses()) -> Journey:  # noqa: B008 (it is frozen)
        return Journey(self.stack.url, event.slug, self.phones.next(), pauses)


def open_event(slug: str) -> Event:
    """Make an event whose list is open and does not fill up."""
    now = timezone.now()
    return Event.objects.create(
        slug=slug,
        title="Noite de Exemplo",
        description="Uma noite que nunca enche.",
        venue="Sala Exemplo",
        address="Rua do Exemplo 1, Lisboa",
        starts_at=now + timedelta(days=7),
        ends_at=now + timedelta(days=7, hours=6),
        list_opens_at=now - timedelta(hours=1),
        list_closes_at=now + timedelta(days=6),
        capacity=CAPACITY,
        is_published=True,
    )
