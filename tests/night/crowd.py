"""The people of the night. They come by the links of four promoters."""

import json

from guests.models import Event, Promoter
from tests.factories import make_event, make_event_promoter, make_promoter
from tests.faults.people import Person
from tests.faults.storm import Response, Storm

TITLES = ("Ana", "Bruno", "Carla", "Duarte")


def make_night(people: int) -> Event:
    """Make an event with places for two thirds of the people, and four promoters."""
    return make_event(title="Noite de Exemplo", capacity=max(1, people * 2 // 3))


def add_promoters(event: Event) -> list[Promoter]:
    promoters = [make_promoter(name=f"{title} Exemplo") for title in TITLES]
    for promoter in promoters:
        make_event_promoter(event, promoter=promoter)
    return promoters


class Crowd(Storm):
    """A storm in which each person came by the link of one of the promoters."""

    promoters: list[Promoter]

    async def _request_place(self, person: Person, key: str) -> Response:
        # A request that is repeated names the same promoter.
        promoter = self.promoters[int(person.phone[-2:]) % len(self.promoters)]
        body = json.dumps({"event_id": self.event.pk, "promoter_id": promoter.pk}).encode()
        url = "/api/client-auth/guests/create-async"
        headers = b"Idempotency-Key: %b\r\n" % key.encode()
        return await self._call(person, key, "create", b"POST", url, body, headers)
