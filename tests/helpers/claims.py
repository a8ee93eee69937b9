"""A phone that two people claim: its holder registered first, and another visitor claims it."""

import re
from datetime import timedelta

from django.db.models import F

from accounts.models import Claim, User
from guests.models import Event, Guest
from notifications.models import Email
from tests.factories import make_event
from tests.helpers.emails import send_all
from tests.helpers.visitors import PHONE, Response, Visitor, html_of

CLAIMANT = {"first_name": "Marta", "last_name": "Verdadeira", "email": "marta@example.org"}


def register_holder(event: Event, *, htmx: bool = False) -> Visitor:
    """Register the phone with its first email, which nothing proves."""
    holder = Visitor(event, htmx=htmx)
    holder.give_phone()
    holder.register()
    return holder


def claim_by(visitor: Visitor, phone: str = PHONE) -> Response:
    visitor.give_phone(phone)
    return visitor.send("claim", **CLAIMANT)


def state_of_claim(response: Response) -> str:
    """Return the state of the claim on a page, "" when the page shows none."""
    found = re.search(r'data-claim="(\w+)"', html_of(response))
    return found[1] if found else ""


def holdings() -> dict[str, object]:
    """Return all that a claim can change: fields of the account, and its guests."""
    account = User.objects.get(phone=PHONE)
    fields = ["first_name", "last_name", "email", "session_nonce", "verified_at", "browser"]
    guests = Guest.objects.filter(account=account).values("name", "qr_token", "state", "listings")
    return {field: getattr(account, field) for field in fields} | {"guests": list(guests)}


def claim_without_a_place() -> Visitor:
    """Claim an account without a coming place, send its email, and return the claimant."""
    event = make_event()
    register_holder(event)
    claimant = Visitor(event)
    claim_by(claimant)
    send_all()
    Event.objects.update(
        starts_at=F("list_opens_at"), ends_at=F("list_opens_at") + timedelta(minutes=1)
    )
    return claimant


def let_a_day_pass() -> None:
    """Make all claims and sent emails a day older."""
    Claim.objects.update(created_at=F("created_at") - timedelta(days=1))
    Email.objects.update(sent_at=F("sent_at") - timedelta(days=1))
