"""Rows for tests. Each has fictitious values that no other row has."""

from datetime import timedelta
from itertools import count
from typing import Any

from django.utils import timezone

from accounts.models import User
from guests.models import Event, EventPromoter, Guest, GuestRequest, Promoter, Team
from guests.requests.accepting import request_place
from guests.requests.creating import create_guest_now

_numbers = count(1)


def make_account(**fields: Any) -> User:
    """Make an account with a Portuguese mobile number and an email address of its own."""
    number = next(_numbers)
    given = {
        "phone": f"+3519{20_000_000 + number}",
        "first_name": "Rita",
        "last_name": f"Exemplo {number}",
        "email": f"rita{number}@example.com",
    }
    return User.objects.create_user(**given | fields)


def make_accounts(size: int) -> list[User]:
    return [make_account() for _ in range(size)]


def make_staff(**fields: Any) -> User:
    """Make a superuser with the password `a long password`."""
    account = make_account(is_staff=True, is_superuser=True, **fields)
    account.set_password("a long password")
    account.save()
    return account


def make_event(**fields: Any) -> Event:
    """Make a published event in a week. Its list is open, with 50 places and a waiting list."""
    number, now = next(_numbers), timezone.now()
    given = {
        "slug": f"festa-{number}",
        "title": f"Festa {number}",
        "venue": "Sala Exemplo",
        "starts_at": now + timedelta(days=7),
        "ends_at": now + timedelta(days=7, hours=6),
        "list_opens_at": now - timedelta(hours=1),
        "list_closes_at": now + timedelta(days=6),
        "capacity": 50,
        "is_published": True,
    }
    return with_database_time(Event.objects.create(**given | fields))


def with_database_time(event: Event) -> Event:
    """Return the event as the database has it now, with the database's time."""
    return Event.objects.with_database_time().get(pk=event.pk)


def make_team(**fields: Any) -> Team:
    return Team.objects.create(**{"name": f"Equipa {next(_numbers)}"} | fields)


def make_promoter(**fields: Any) -> Promoter:
    number = next(_numbers)
    return Promoter.objects.create(
        **{"code": f"promotora-{number}", "name": f"Promotora {number}"} | fields
    )


def make_event_promoter(event: Event | None = None, **fields: Any) -> EventPromoter:
    given = {"event": event or make_event(), "promoter": fields.get("promoter") or make_promoter()}
    return EventPromoter.objects.create(**given | fields)


def make_request(
    event: Event | None = None, account: User | None = None, **fields: Any
) -> GuestRequest:
    """Make a pending request, which no worker has ended."""
    event = with_database_time(event or make_event())
    return request_place(event, account or make_account(), **fields)


def make_guest(event: Event | None = None, account: User | None = None, **fields: Any) -> Guest:
    """Make a guest: on the list, or on the waiting list when the event is full."""
    # The real workers may lock the same event, so this waits for them.
    request = create_guest_now(make_request(event, account, **fields), seconds=10)
    assert request.guest is not None, request.refusal or request.error
    return request.guest
