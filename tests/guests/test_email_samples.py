"""The examples of emails show what the emails of guests show, and nothing else."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from accounts.models import Claim, EmailChange, LoginCode, User
from guests.models import Event, Guest
from guests.news.emails import night_of
from guests.requests.event_changes import cancel_event
from notifications.kinds import EmailContent, build_contents, known_kinds
from notifications.models import Email
from notifications.previews import make_samples
from tests.factories import make_account, make_event, make_guest, with_database_time
from tests.helpers.event_news import announce_all, edit
from tests.helpers.list_messages import sent_message

pytestmark = pytest.mark.django_db


def queued(kind: str) -> list[str]:
    return list(Email.objects.filter(kind=kind).values_list("cause", flat=True))


def about_place(guest: Guest, *rest: str) -> str:
    return "/".join([f"guest:{guest.pk}", str(guest.listings), *rest])


def real_contents(kind: str, staff: User) -> list[EmailContent]:
    """Return contents of a kind from rows as the product makes them."""
    find = FIND_CAUSES.get(kind, lambda staff: queued(kind))
    built: Mapping[str, EmailContent] = build_contents(kind, find(staff))
    return list(built.values())


def places(staff: User) -> tuple[Guest, Guest]:
    event = make_event(capacity=1, sends_reminder=True)
    return make_guest(event), make_guest(event)


def account_causes(staff: User) -> list[str]:
    return [f"account:{make_account().pk}"]


def code_causes(staff: User) -> list[str]:
    account, until = make_account(), timezone.now() + timedelta(hours=1)
    return [
        f"login_code:{LoginCode.objects.create(account=account, page=page, expires_at=until).pk}"
        for page in ("", "/promo/")
    ]


def change_causes(staff: User) -> list[str]:
    account = make_account()
    change = EmailChange.objects.create(
        account=account, from_email="a@example.com", to_email=account.email, proof="code"
    )
    return [f"email_change:{change.pk}/{side}" for side in ("new", "old")]


def make_claim(**fields: Any) -> Claim:
    given = {"account": make_account(), "first_name": "Rui", "email": "rui@example.com"}
    return Claim.objects.create(**given | fields)


def claim_causes(staff: User) -> list[str]:
    return [f"claim:{make_claim().pk}"]


def decision_causes(staff: User) -> list[str]:
    claim = make_claim(state="refused", decided_at=timezone.now())
    return [f"claim:{claim.pk}/refused/{side}" for side in ("claimant", "holder")]


def change_of_event_causes(staff: User) -> list[str]:
    on_list, _waiting = places(staff)
    edit(on_list.event, staff, venue="Praia")
    announce_all()
    return queued("event_changed")


def cancellation_causes(staff: User) -> list[str]:
    on_list, _waiting = places(staff)
    cancel_event(with_database_time(on_list.event), acting_user=staff)
    announce_all()
    return queued("event_cancelled")


def reminder_causes(staff: User) -> list[str]:
    on_list, _waiting = places(staff)
    return [about_place(on_list, night_of(on_list.event))]


def proof_causes(staff: User) -> list[str]:
    return [about_place(make_guest(make_event(requires_proof=True)))]


def message_causes(staff: User) -> list[str]:
    on_list, _waiting = places(staff)
    sent_message(on_list.event, staff)
    return queued("list_message")


FIND_CAUSES = {
    "welcome": account_causes,
    "login_code": code_causes,
    "email_changed": change_causes,
    "claim": claim_causes,
    "claim_decided": decision_causes,
    "qr_code": lambda staff: [about_place(places(staff)[0])],
    "waitlisted": lambda staff: [about_place(places(staff)[1])],
    "event_changed": change_of_event_causes,
    "event_cancelled": cancellation_causes,
    "reminder": reminder_causes,
    "place_to_prove": proof_causes,
    "list_message": message_causes,
}


@pytest.mark.parametrize("kind", sorted(set(known_kinds()) - {"note", "bulk_note"}))
def test_an_example_shows_what_real_emails_show(kind: str, manager: User) -> None:
    event: Event = make_event()
    real = real_contents(kind, manager)
    assert real
    shared: set[str] = set()
    personal: set[str] = set()
    for content in real:
        shared |= set(content.context)
        personal |= set(content.personal)
    examples = [sample.content for sample in make_samples(kind, event)]
    for example in examples:
        assert set(example.context) <= shared
        assert bool(example.inline_images) == any(content.inline_images for content in real)
    assert personal <= set().union(*(example.personal for example in examples))
    attached = {len(content.attachments) for content in real}
    assert {len(example.attachments) for example in examples} == attached
