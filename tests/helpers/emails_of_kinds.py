"""One due email of each kind, with the rows behind it."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.db.models.functions import Now

from accounts.models import Claim, EmailChange, LoginCode, User
from guests.models import Event, Guest, ListMessage, news_cause
from guests.news.announcing import announce
from guests.news.emails import night_of
from notifications.models import Email
from notifications.services import queue_email
from tests.factories import make_account, make_event, make_guest
from tests.helpers.list_messages import make_message


def queue_email_of(kind: str, language: str = "en") -> Email:
    """Make the rows behind an email of a kind, and leave that email alone in the queue."""
    account = make_account(first_name="Inês & Zé", language=language)
    cause = CAUSES[kind](account)
    Email.objects.exclude(kind=kind, cause=cause).delete()
    queue_email(kind, cause, to=account.email, language=language)
    return Email.objects.get(kind=kind, cause=cause)


def _of_guest(guest: Guest) -> str:
    return f"guest:{guest.pk}/{guest.listings}"


def _place(account: User) -> str:
    event = make_event(title="Noite de São João <3", address="Rua do Ouro 12, Porto")
    return _of_guest(make_guest(event, account))


def _waiting(account: User) -> str:
    event = make_event(capacity=1)
    make_guest(event)
    return _of_guest(make_guest(event, account))


def _code(account: User) -> str:
    age = timedelta(seconds=settings.LOGIN_CODE_AGE)
    code = LoginCode.objects.create(account=account, browser="b" * 32, expires_at=Now() + age)
    return f"login_code:{code.pk}"


def _claim(account: User, **fields: str) -> Claim:
    return Claim.objects.create(
        account=account,
        first_name=account.first_name,
        last_name="Verdadeira",
        email="marta@example.org",
        language=account.language,
        **fields,
    )


def _email_change(account: User) -> str:
    change = EmailChange.objects.create(
        account=account,
        from_email="ines@example.org",
        to_email=account.email,
        proof=EmailChange.Proof.CODE,
    )
    return f"email_change:{change.pk}/new"


def _changed(account: User, **change: Any) -> str:
    """Make a guest, change the event, and let the guest be told."""
    guest = make_guest(make_event(address="Rua do Ouro 12, Porto"), account)
    Event.objects.filter(pk=guest.event_id).update(**change)
    announce(guest.event_id)
    return news_cause(guest.event_id, 1, guest.pk)


def _reminder(account: User) -> str:
    guest = make_guest(make_event(sends_reminder=True), account)
    return f"{_of_guest(guest)}/{night_of(guest.event)}"


def _message(account: User) -> str:
    guest = make_guest(make_event(), account)
    message = make_message(guest.event, state=ListMessage.State.SENDING)
    return f"list_message:{message.pk}/{account.pk}"


CAUSES: dict[str, Callable[[User], str]] = {
    "welcome": lambda account: f"account:{account.pk}",
    "email_changed": _email_change,
    "login_code": _code,
    "claim": lambda account: f"claim:{_claim(account).pk}",
    "claim_decided": lambda account: (
        f"claim:{_claim(account, state=Claim.State.REFUSED).pk}/refused/claimant"
    ),
    "qr_code": _place,
    "event_changed": lambda account: _changed(account, venue="Praia do Norte"),
    "event_cancelled": lambda account: _changed(account, cancelled_at=Now()),
    "reminder": _reminder,
    "place_to_prove": lambda account: _of_guest(
        make_guest(make_event(requires_proof=True), account)
    ),
    "waitlisted": _waiting,
    "list_message": _message,
}
