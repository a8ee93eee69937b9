"""System check of leftovers of the demo, for `manage.py check_setup`."""

from collections.abc import Sequence
from typing import Any

from django.core.checks import CheckMessage, Error, register

from accounts.models import User
from guests.demo import EVENTS, GUEST_PHONE, STAFF_PHONE
from guests.models import Event
from snap.setup import SETUP


@register(SETUP, deploy=True)
def check_demo(
    app_configs: Any, databases: Sequence[str] | None = None, **kwargs: Any
) -> list[CheckMessage]:
    """Report what `seed_demo` has left: accounts with known phones, invented events."""
    if not databases:
        return []
    accounts = User.objects.filter(phone__in=[STAFF_PHONE, GUEST_PHONE], is_active=True)
    phones = set(accounts.values_list("phone", flat=True))
    slugs = [demo.slug for demo in EVENTS]
    events = Event.objects.filter(slug__in=slugs, is_published=True).count()
    found: list[CheckMessage] = []
    if STAFF_PHONE in phones:
        found.append(
            Error(
                "The staff account of the demo can sign in: its phone is public, and so may be"
                " its password.",
                hint="Delete that account in admin, or switch it off.",
                id="guests.E101",
            )
        )
    if GUEST_PHONE in phones:
        found.append(
            Error(
                "The guest of the demo has an account, whose phone belongs to somebody.",
                hint="Delete that account in admin, or switch it off.",
                id="guests.E102",
            )
        )
    if events:
        found.append(
            Error(
                f"Guests see {events} invented event(s) of the demo.",
                hint="Delete them in admin, or take them offline.",
                id="guests.E103",
            )
        )
    return found
