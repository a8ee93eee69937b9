"""The stack, the time and the phones that each part of the bench uses."""

import secrets
import time
from dataclasses import dataclass, field
from datetime import timedelta

from django.utils import timezone

from guests.models import Event, GuestRequest
from notifications.models import Email
from tests.bench.figures import Figures
from tests.bench.journey import Journey, Pauses, Phones
from tests.bench.stack import ProductionStack

CAPACITY = 50_000_000
# Maximum seconds until the requests and emails of a measurement are done.
SETTLE = 600.0


@dataclass(frozen=True)
class Bench:
    """`seconds` is the length of one measurement. A `quick` bench only shows that it works."""

    stack: ProductionStack
    seconds: float = 60.0
    quick: bool = False
    phones: Phones = field(default_factory=Phones)

    def size(self, number: int) -> int:
        """Return the number, or a hundredth of it when the bench is quick."""
        return max(2, number // 100) if self.quick else number

    def settle(self) -> Figures:
        """Wait until no request and no email is due, so the next measurement is not affected.

        Return the number of emails that were due, and the seconds until they were sent.
        """
        began, left = time.monotonic(), Email.objects.due().count()
        while GuestRequest.objects.due().exists() or Email.objects.due().exists():
            if time.monotonic() > began + SETTLE:
                print("    requests or emails are still due", flush=True)
                break
            time.sleep(0.2)
        return {"emails left": left, "emails seconds": time.monotonic() - began}

    def journey(self, event: Event, pauses: Pauses = Pauses()) -> Journey:  # noqa: B008 (it is frozen)
        return Journey(self.stack.url, event.slug, self.phones.next(), pauses)


def open_event(name: str) -> Event:
    """Make an event whose list is open and never full. Each run makes another one."""
    now = timezone.now()
    return Event.objects.create(
        slug=f"{name}-{secrets.token_hex(4)}",
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
