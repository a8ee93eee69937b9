"""The contents of emails about changes of events, as they are built for a batch."""

from datetime import timedelta
from typing import Any

import pytest
from django.db.models.functions import Now
from django.utils import timezone, translation

from accounts.models import User
from guests.models import Event, EventNews, Guest, news_cause
from guests.news.emails import NewsCause
from guests.requests.event_changes import cancel_event
from notifications.kinds import EmailContent, build_contents
from notifications.models import Email
from notifications.resending import resend_email
from tests.factories import make_account, make_event, make_guest, with_database_time
from tests.helpers.emails import send_all
from tests.helpers.event_news import announce_all, edit, note_sent, tell

pytestmark = pytest.mark.django_db


def guests_of(event: Event, number: int) -> list[Guest]:
    return [make_guest(event) for _ in range(number)]


def causes_of(kind: str) -> list[str]:
    return list(Email.objects.filter(kind=kind).order_by("pk").values_list("cause", flat=True))


def contents_of(kind: str) -> list[EmailContent]:
    with translation.override("en"):
        return list(build_contents(kind, causes_of(kind)).values())


def test_guests_who_know_the_same_share_one_context_and_one_file(manager: User) -> None:
    event = make_event(capacity=4)
    guests_of(event, 6)
    edit(event, manager, venue="Praia")
    announce_all()
    contents = contents_of("event_changed")
    assert len(contents) == 6
    contexts = [content.context for content in contents]
    assert [context["is_waiting"] for context in contexts] == [False] * 4 + [True] * 2
    assert contexts[0] is contexts[3]
    assert contexts[4] is contexts[5]
    files = [content.attachments for content in contents]
    assert files[0][0] is files[3][0]
    assert files[4] == files[5] == ()
    assert len({content.personal["guest_url"] for content in contents[:4]}) == 4
    assert contents[5].personal["guest_url"] == ""


def test_a_batch_takes_as_many_queries_as_one(
    manager: User, django_assert_num_queries: Any
) -> None:
    for guests in (1, 5):
        event = make_event()
        guests_of(event, guests)
        for venue in ("Praia", "Sala"):
            edit(event, manager, venue=venue)
            announce_all()
        edit(event, manager, venue="Armazém")
        announce_all()
        causes = [cause for cause in causes_of("event_changed") if f":{event.pk}/3/" in cause]
        with django_assert_num_queries(4):
            assert len(build_contents("event_changed", causes)) == guests


def test_each_change_of_a_guest_is_told_from_what_that_guest_knows(manager: User) -> None:
    event = make_event(venue="Sala")
    make_guest(event)
    edit(event, manager, venue="Praia")
    make_guest(event)
    edit(event, manager, venue="Armazém")
    announce_all()
    contents = contents_of("event_changed")
    assert [content.context["old_venue"] for content in contents] == ["Sala", "Praia"]
    assert {content.context["venue"] for content in contents} == {"Armazém"}


def test_who_is_not_there_yet_reads_that_the_event_has_begun(manager: User) -> None:
    event = make_event(capacity=2)
    late, present = guests_of(event, 2)
    Guest.objects.filter(pk=present.pk).update(checked_in_at=Now())
    note_sent()
    begins = timezone.now() - timedelta(minutes=10)
    for fields in ({"starts_at": begins, "venue": "Praia"}, {"title": "Noite de Fado"}):
        edit(event, manager, **fields)
        messages = {message.to[0]: str(message.body) for message in tell()}
        assert "Já começou: vem assim que puderes." in messages[late.account.email]
        assert "Já começou" not in messages[present.account.email]


@pytest.mark.parametrize(
    ("field", "value", "flags"),
    [
        ("venue", "Praia", {"is_moved"}),
        ("title", "Noite de Fado", {"is_renamed"}),
        ("time_zone", "Asia/Kolkata", {"is_moved", "has_other_end"}),
        ("cancelled_at", None, {"is_reinstated"}),
    ],
)
def test_the_flags_say_what_has_changed(
    manager: User, field: str, value: Any, flags: set[str]
) -> None:
    guest = make_guest()
    if field == "cancelled_at":
        cancel_event(guest.event, acting_user=manager)
        announce_all()
        send_all()
    edit(guest.event, manager, **{field: value})
    announce_all()
    (content,) = contents_of("event_changed")
    names = {"is_moved", "is_renamed", "has_other_end", "is_reinstated"}
    assert {name for name in names if content.context[name]} == flags


def test_who_must_prove_gets_the_news_without_a_promise_of_the_code(manager: User) -> None:
    guest = make_guest(make_event(requires_proof=True))
    edit(guest.event, manager, venue="Praia")
    announce_all()
    (content,) = contents_of("event_changed")
    assert not content.context["has_code"]
    assert not content.context["is_waiting"]


@pytest.mark.parametrize(
    "cause",
    ["event_change:", "event_change:x/y/z", "event_change:1", "event_change:1/2/3/4", "guest:1"],
)
def test_causes_that_lead_nowhere_are_left_out(db: None, cause: str) -> None:
    assert build_contents("event_changed", [cause]) == {}
    assert isinstance(NewsCause.parse(cause).guest_id, int)


def test_another_events_guest_gets_nothing(manager: User) -> None:
    guest, other = make_guest(), make_guest()
    edit(guest.event, manager, venue="Praia")
    announce_all()
    edit(other.event, manager, venue="Praia")
    announce_all()
    wrong = news_cause(guest.event_id, 1, other.pk)
    right = news_cause(other.event_id, 1, other.pk)
    assert set(build_contents("event_changed", [wrong, right])) == {right}


def test_rows_of_the_wrong_kind_are_left_out(manager: User) -> None:
    guest = make_guest()
    edit(guest.event, manager, venue="Praia")
    announce_all()
    assert build_contents("event_cancelled", causes_of("event_changed")) == {}
    assert news_cause(guest.event_id, 1, guest.pk) in causes_of("event_changed")


# Staff --------------------------------------------------------------------------------------------


def told(manager: User) -> Guest:
    guest = make_guest(account=make_account(language="en"))
    edit(guest.event, manager, venue="Praia")
    announce_all()
    send_all()
    Email.objects.update(state="bounced")
    return guest


def send_again(guest: Guest) -> str:
    cause = causes_of("event_changed")[0]
    return resend_email("event_changed", cause, actor="account:1").refusal


def test_staff_send_news_again_to_the_present_address(manager: User) -> None:
    guest = told(manager)
    User.objects.filter(pk=guest.account_id).update(email="certa@example.com")
    assert send_again(guest) == ""
    email = Email.objects.get(kind="event_changed")
    assert (email.to, email.state) == ("certa@example.com", "queued")
    send_all()
    email.refresh_from_db()
    assert email.state == "sent"


def test_news_that_is_outdated_is_not_sent_again(manager: User) -> None:
    guest = told(manager)
    edit(guest.event, manager, venue="Armazém")
    assert send_again(guest) == "not_wanted"
    announce_all()
    assert send_again(guest) == "superseded"
    Event.objects.update(
        starts_at=with_database_time(guest.event).list_opens_at,
        ends_at=with_database_time(guest.event).database_now,
    )
    assert send_again(guest) == "event_ended"
    Guest.objects.update(state="cancelled", qr_token=None)
    assert send_again(guest) == "no_place"


def test_what_was_told_is_kept_for_staff(manager: User) -> None:
    told(manager)
    news = EventNews.objects.get()
    assert (news.sequence, news.emails, news.state["venue"]) == (1, 1, "Praia")


@pytest.mark.parametrize("is_sure", [True, False])
def test_news_that_another_process_is_sending_is_followed_by_the_last_state(
    manager: User, is_sure: bool
) -> None:
    """It was built before the event was changed back, and its outcome is not known yet."""
    event = make_event(venue="Sala")
    guest = make_guest(event)
    edit(event, manager, venue="Praia")
    announce_all()
    Email.objects.filter(kind="event_changed").update(leased_until=Now())
    edit(event, manager, venue="Sala")
    announce_all()
    last = news_cause(event.pk, 2, guest.pk)
    assert last in causes_of("event_changed")
    if is_sure:
        Email.objects.filter(kind="event_changed").exclude(cause=last).update(
            state="cancelled", leased_until=None
        )
    assert set(build_contents("event_changed", [last])) == (set() if is_sure else {last})


def test_a_cancellation_names_no_code_to_guests_who_never_saw_one(manager: User) -> None:
    event = make_event(requires_proof=True)
    make_guest(event)
    make_guest(event, make_account(verified_at=timezone.now()))
    send_all()
    cancel_event(event, acting_user=manager)
    announce_all()
    codes = [content.context["has_code"] for content in contents_of("event_cancelled")]
    assert codes == [False, True]
