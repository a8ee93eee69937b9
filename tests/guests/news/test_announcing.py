"""Guests are told once what has changed since they last heard of it, and nobody else is."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.conf import settings
from django.core import mail
from django.core.management import call_command
from django.db.models import F
from django.db.models.functions import Now
from django.utils import timezone

from accounts.models import BlockedPhone, User
from guests.claims.corrections import correct_email
from guests.lists.services import NewGuest, add_guest
from guests.models import Event, EventNews, Guest
from guests.news.announcing import announce, announce_changes, events_with_news
from guests.requests.event_changes import cancel_event, reinstate_event
from guests.requests.giving_back import give_place_back
from guests.requests.waiting_list import cancel_guests
from notifications.models import Email
from tests.factories import make_account, make_event, make_guest, with_database_time
from tests.helpers.emails import send_all
from tests.helpers.event_news import (
    WITHOUT_DELAY,
    announce_all,
    edit,
    never,
    news_of,
    note_sent,
    tell,
)

pytestmark = pytest.mark.django_db
HOUR = timedelta(hours=1)


def told_guest(event: Event | None = None, **fields: Any) -> Guest:
    """Make a guest whose QR email has been sent."""
    guest = make_guest(event, make_account(**fields))
    note_sent()
    return guest


def text_of(guest: Guest) -> str:
    """Return the text of the last email to a guest, without line breaks."""
    to = [guest.account.email]
    last = [message for message in mail.outbox if message.to == to][-1]
    return " ".join(str(last.body).split())


CHANGES: dict[str, Callable[[Event], dict[str, Any]]] = {
    "start": lambda event: {"starts_at": event.starts_at - HOUR},
    "end": lambda event: {"ends_at": event.ends_at + HOUR},
    "venue": lambda event: {"venue": "Praia do Norte"},
    "address": lambda event: {"address": "Rua Nova 7"},
    "zone": lambda event: {"time_zone": "Asia/Kolkata"},
    "title": lambda event: {"title": "Noite de Fado"},
    "number": lambda event: {"title": f"{event.title} 2"},
}
UNTOLD: dict[str, Callable[[Event], dict[str, Any]]] = {
    "capitals and accents": lambda event: {"title": event.title.upper().replace("F", "f")},
    "signs": lambda event: {"title": f"«{event.title}»!"},
    "same clock": lambda event: {"time_zone": "Europe/London"},
    "description": lambda event: {"description": "Texto"},
    "poster": lambda event: {"poster": "posters/outro.jpg"},
    "link": lambda event: {"slug": f"{event.slug}-nova"},
    "list": lambda event: {"list_closes_at": event.list_closes_at - HOUR, "capacity": 70},
    "proof": lambda event: {"shows_places_left": True, "limit_per_minute": 9},
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_each_change_that_matters_is_told_from_and_to(
    manager: User, change: Callable[[Event], dict[str, Any]]
) -> None:
    guest = told_guest(make_event(time_zone="Europe/Lisbon"), language="en")
    before = guest.event
    event = edit(guest.event, manager, **change(guest.event))
    (message,) = tell()
    assert message.to == [guest.account.email]
    assert event.title in message.subject
    text = text_of(guest)
    for name in change(before):
        if name not in {"starts_at", "ends_at", "time_zone"}:
            assert getattr(event, name) in text
            assert not getattr(before, name) or getattr(before, name) in text
    assert tell() == []


@pytest.mark.parametrize("change", UNTOLD.values(), ids=UNTOLD)
def test_other_changes_reach_nobody(
    manager: User, change: Callable[[Event], dict[str, Any]]
) -> None:
    guest = told_guest(make_event(time_zone="Europe/Lisbon"))
    edit(guest.event, manager, **change(guest.event))
    assert tell() == []
    assert not EventNews.objects.exists()


def test_a_change_is_told_when_it_has_settled(manager: User) -> None:
    guest = told_guest()
    edit(guest.event, manager, venue="Praia")
    announce_changes(never)
    assert news_of(guest) == []
    with WITHOUT_DELAY:
        call_command("sweeper", once=True)
    assert news_of(guest) == [("event_changed", "queued")]


def test_a_cancellation_settles_sooner(manager: User, settings: Any) -> None:
    guest = told_guest()
    assert settings.EVENT_CANCELLED_DELAY < settings.EVENT_NEWS_DELAY
    settings.EVENT_CANCELLED_DELAY = 0
    edit(guest.event, manager, venue="Praia")
    announce_changes(never)
    assert news_of(guest) == []
    cancel_event(with_database_time(guest.event), acting_user=manager)
    announce_changes(never)
    assert news_of(guest) == [("event_cancelled", "queued")]


def test_several_changes_are_one_email_with_the_last_state(manager: User) -> None:
    guest = told_guest(make_event(venue="Sala"), language="en")
    for venue in ("Preia", "Praia", "Praia do Norte"):
        edit(guest.event, manager, venue=venue)
    assert len(tell()) == 1
    assert "Preia" not in text_of(guest)
    assert "Sala" in text_of(guest)
    assert "Praia do Norte" in text_of(guest)


def test_a_change_that_is_undone_in_time_reaches_nobody(manager: User) -> None:
    guest = told_guest(make_event(venue="Sala"))
    edit(guest.event, manager, venue="Praia")
    edit(guest.event, manager, venue="Sala")
    cancel_event(with_database_time(guest.event), acting_user=manager)
    reinstate_event(with_database_time(guest.event), acting_user=manager)
    assert tell() == []
    assert not events_with_news().exists()


def test_a_guest_who_came_in_between_is_told_that_it_is_undone(manager: User) -> None:
    event = make_event(venue="Sala")
    before = told_guest(event)
    edit(event, manager, venue="Praia")
    between = told_guest(event)
    edit(event, manager, venue="Sala")
    after = told_guest(event)
    assert [message.to for message in tell()] == [[between.account.email]]
    assert news_of(before) == news_of(after) == []


def test_a_guest_who_came_after_the_change_knows_it(manager: User) -> None:
    event = make_event()
    before = told_guest(event)
    edit(event, manager, venue="Praia")
    after = told_guest(event)
    assert [message.to for message in tell()] == [[before.account.email]]
    assert news_of(after) == []


def test_what_was_told_last_is_what_the_next_email_starts_from(manager: User) -> None:
    guest = told_guest(make_event(venue="Sala"), language="en")
    edit(guest.event, manager, venue="Praia")
    tell()
    edit(guest.event, manager, venue="Armazém")
    tell()
    assert "Praia" in text_of(guest)
    assert "Armazém" in text_of(guest)
    assert "Sala" not in text_of(guest).replace("Sala Exemplo", "")
    edit(guest.event, manager, venue="Sala")
    tell()
    assert news_of(guest) == [("event_changed", "sent")] * 3


@pytest.mark.parametrize("back", [True, False])
def test_news_that_was_not_sent_counts_for_nothing(manager: User, back: bool) -> None:
    """The mail provider was away for longer than until the next change."""
    guest = told_guest(make_event(venue="Sala"), language="en")
    edit(guest.event, manager, venue="Praia")
    announce_all()
    edit(guest.event, manager, venue="Sala" if back else "Armazém")
    messages = tell()
    assert len(messages) == int(not back)
    if back:
        assert news_of(guest) == [("event_changed", "cancelled")]
    else:
        assert "Praia" not in text_of(guest)
        assert news_of(guest) == [("event_changed", "cancelled"), ("event_changed", "sent")]


def test_news_that_may_have_been_sent_counts(manager: User) -> None:
    guest = told_guest(make_event(venue="Sala"))
    edit(guest.event, manager, venue="Praia")
    announce_all()
    later = Now() + HOUR
    Email.objects.filter(state="queued").update(unsure_provider="smtp", next_attempt_at=later)
    edit(guest.event, manager, venue="Sala")
    assert len(tell()) == 1
    Email.objects.filter(state="queued").update(next_attempt_at=Now())
    assert tell() == []
    assert news_of(guest) == [("event_changed", "cancelled"), ("event_changed", "sent")]


def test_an_event_that_takes_place_after_all_says_so(manager: User) -> None:
    guest = told_guest(language="en")
    cancel_event(guest.event, acting_user=manager)
    (cancelled,) = tell()
    assert cancelled.subject == f"Cancelled: {guest.event.title}"
    edit(guest.event, manager, venue="Praia")
    assert tell() == []
    reinstate_event(with_database_time(guest.event), acting_user=manager)
    (reinstated,) = tell()
    assert reinstated.subject == f"It takes place after all: {guest.event.title}"
    assert "Praia" in text_of(guest)
    assert news_of(guest) == [("event_cancelled", "sent"), ("event_changed", "sent")]


def test_a_qr_email_that_waits_shows_the_new_venue_and_none_comes_when_cancelled(
    manager: User,
) -> None:
    guest = make_guest(make_event(venue="Sala"))
    edit(guest.event, manager, venue="Praia")
    send_all()
    assert "Praia" in text_of(guest)
    late = make_guest(guest.event)
    cancel_event(with_database_time(guest.event), acting_user=manager)
    mail.outbox.clear()
    tell()
    assert [message.subject[:9] for message in mail.outbox] == ["Cancelado"] * 2
    assert news_of(late) == [("event_cancelled", "sent")]


# Who is told --------------------------------------------------------------------------------------


def test_the_list_is_told_first_and_the_waiting_list_in_other_words(manager: User) -> None:
    event = make_event()
    waiting = told_guest(event, language="en")
    holder = told_guest(event, language="en")
    Guest.objects.filter(pk=waiting.pk).update(state="waiting", qr_token=None)
    edit(event, manager, venue="Praia")
    tell()
    told = Email.objects.filter(kind="event_changed").order_by("next_attempt_at", "pk")
    assert list(told.values_list("to", flat=True)) == [holder.account.email, waiting.account.email]
    assert "Your place stays yours." in text_of(holder)
    assert "You keep your place on the waiting list." in text_of(waiting)
    assert "/guest/" not in text_of(waiting)


def removed(guest: Guest, manager: User) -> None:
    cancel_guests(guest.event_id, [guest.pk], acting_user=manager)


def given_back(guest: Guest, manager: User) -> None:
    give_place_back(guest)


def without_email(guest: Guest, manager: User) -> None:
    User.objects.filter(pk=guest.account_id).update(email="")


def inactive(guest: Guest, manager: User) -> None:
    User.objects.filter(pk=guest.account_id).update(is_active=False)


def blocked(guest: Guest, manager: User) -> None:
    BlockedPhone.objects.create(phone=guest.phone or "", reason="test")


def blocked_prefix(guest: Guest, manager: User) -> None:
    BlockedPhone.objects.create(phone=(guest.phone or "")[:8], is_prefix=True, reason="test")


@pytest.mark.parametrize(
    "exclude", [removed, given_back, without_email, inactive, blocked, blocked_prefix]
)
@pytest.mark.parametrize("decide", ["cancel", "change"])
def test_who_has_no_place_or_may_have_none_is_not_told(
    manager: User, exclude: Callable[[Guest, User], None], decide: str
) -> None:
    guest = told_guest()
    event = with_database_time(guest.event)
    if decide == "cancel":
        cancel_event(event, acting_user=manager)
        Event.objects.filter(pk=event.pk).update(cancelled_at=None)
    exclude(guest, manager)
    if decide == "cancel":
        cancel_event(with_database_time(event), acting_user=manager)
    else:
        edit(event, manager, venue="Praia")
    mail.outbox.clear()
    assert tell() == []


def test_a_block_that_has_ended_excludes_nobody(manager: User) -> None:
    guest = told_guest()
    BlockedPhone.objects.create(phone=guest.phone or "", reason="test", expires_at=timezone.now())
    edit(guest.event, manager, venue="Praia")
    assert len(tell()) == 1


def test_guests_without_a_phone_and_drafts_are_told(manager: User) -> None:
    event = make_event(is_published=False)
    add_guest(event, NewGuest(name="Ana", email="ana@example.com"), acting_user=manager)
    send_all()
    edit(event, manager, venue="Praia")
    assert [message.to for message in tell()] == [["ana@example.com"]]


def test_an_event_that_is_over_is_no_news_until_it_is_moved_ahead(manager: User) -> None:
    now = timezone.now()
    guest = told_guest()
    event = edit(guest.event, manager, starts_at=now - 3 * HOUR, ends_at=now - HOUR, venue="Praia")
    assert tell() == []
    edit(event, manager, starts_at=now + 24 * HOUR, ends_at=now + 30 * HOUR)
    assert len(tell()) == 1


@pytest.mark.parametrize("state", ["queued", "bounced", "dead", "sent"])
def test_news_that_has_not_arrived_goes_to_the_corrected_address(manager: User, state: str) -> None:
    guest = told_guest(browser="b" * 32)
    edit(guest.event, manager, venue="Praia")
    announce_all()
    Email.objects.filter(kind="event_changed").update(state=state)
    correct_email(guest.account, "certa@example.com", browser="b" * 32)
    send_all()
    others = ("QR", "O teu email")
    sent = []
    for message in mail.outbox:
        if not any(word in message.subject for word in others):
            sent.append(message.to)
    assert sent == ([] if state == "sent" else [["certa@example.com"]])


def test_an_address_that_was_changed_by_hand_gets_no_link_of_another(manager: User) -> None:
    guest = told_guest()
    edit(guest.event, manager, venue="Praia")
    announce_all()
    User.objects.filter(pk=guest.account_id).update(email="certa@example.com")
    assert tell() == []


def test_changes_from_before_the_release_are_no_news() -> None:
    """The migration writes this for each event that was there."""
    guest = told_guest()
    Event.objects.update(venue="Praia")
    Event.objects.update(told_sequence=F("sequence"))
    assert tell() == []
    Event.objects.update(venue="Armazém")
    assert len(tell()) == 1
    assert news_of(guest) == [("event_changed", "sent")]


def test_the_number_of_queries_does_not_depend_on_the_guests(
    manager: User, django_assert_num_queries: Any
) -> None:
    event = make_event()
    make_guest(event)
    for guests in (1, 5):
        for _number in range(guests):
            make_guest(event)
        event = edit(event, manager, venue=f"Sala {guests}")
        with django_assert_num_queries(10):
            announce(event.pk)
    assert settings.EVENT_NEWS_DELAY == 120
