"""Messages of a batch: queries that do not grow, and errors that stay with their own email."""

from pathlib import Path

import pytest
from django.core.exceptions import ValidationError
from django.core.files.storage import default_storage
from django.db import connection
from django.db.utils import OperationalError
from django.test.utils import CaptureQueriesContext

from guests.models import Guest
from guests.qr.codes import image_name, pass_url, read_image, short_code
from notifications.messages import RelatedMessage, build_messages, message_id
from notifications.models import Email
from notifications.services import queue_email
from snap.local_cache import reset_process_state
from tests.factories import make_account, make_event, make_guest
from tests.helpers.emails_of_kinds import CAUSES
from tests.helpers.example_emails import queue_note
from tests.helpers.scans import scan

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _no_skeletons() -> None:
    reset_process_state()


def emails_of(kind: str, count: int) -> list[Email]:
    """Queue emails of a kind, each about rows of its own."""
    for _ in range(count):
        account = make_account(first_name=f"Inês {count}")
        cause = CAUSES[kind](account)
        queue_email(kind, cause, to=account.email, language="pt-pt")
    return list(Email.objects.filter(kind=kind).order_by("-pk")[:count])


def queries_for(emails: list[Email]) -> int:
    with CaptureQueriesContext(connection) as captured:
        built = build_messages(emails)
    assert all(isinstance(message, RelatedMessage) for message in built.values())
    return len(captured)


@pytest.mark.parametrize("kind", sorted(CAUSES))
def test_the_queries_of_a_batch_do_not_grow(kind: str) -> None:
    emails = emails_of(kind, 6)
    assert queries_for(emails) == queries_for(emails[:1])


def test_a_batch_takes_few_queries() -> None:
    counted = {kind: queries_for(emails_of(kind, 2)) for kind in ("qr_code", "welcome")}
    counted["login_code"] = queries_for(emails_of("login_code", 2))
    assert counted == {"qr_code": 2, "welcome": 1, "login_code": 1}


def test_emails_of_several_kinds_and_languages_are_one_batch() -> None:
    emails = [*emails_of("welcome", 2), *emails_of("qr_code", 1)]
    emails[0].language = "en"
    built = build_messages(emails)
    subjects = [
        message.subject for message in built.values() if isinstance(message, RelatedMessage)
    ]
    assert "Welcome to SNAP" in subjects
    assert len(built) == len(subjects) == 3


def test_an_email_that_is_no_longer_wanted_has_no_message() -> None:
    wanted, gone = queue_note("note:1"), queue_note("gone:2")
    built = build_messages([wanted, gone])
    assert isinstance(built[wanted.pk], RelatedMessage)
    assert built[gone.pk] is None


def test_a_bad_email_leaves_the_others_of_its_batch_alone() -> None:
    good, bad = queue_note("note:1"), queue_note("broken:2")
    nobody = queue_note("note:3", to="ana@example.pt, rui@example.pt")
    built = build_messages([good, bad, nobody])
    assert isinstance(built[good.pk], RelatedMessage)
    assert isinstance(built[bad.pk], KeyError)
    assert isinstance(built[nobody.pk], ValidationError)


def test_an_unavailable_database_is_an_error_of_each_email_of_the_batch() -> None:
    """It is not asked again for each of them."""
    emails = [queue_note("note:1"), queue_note("away:2")]
    built = build_messages(emails)
    assert [type(error) for error in built.values()] == [OperationalError] * 2


def test_an_email_to_another_address_than_the_one_it_proves_is_not_sent() -> None:
    (email,) = emails_of("welcome", 1)
    email.to = "other@example.pt"
    assert build_messages([email]) == {email.pk: None}


def test_the_emails_of_a_batch_have_their_own_texts_and_codes() -> None:
    event = make_event()
    guests = [make_guest(event, make_account(first_name=f"Pessoa{n}")) for n in range(3)]
    emails = []
    for guest in guests:
        cause = f"guest:{guest.pk}/{guest.listings}"
        Email.objects.filter(cause=cause).delete()
        queue_email("qr_code", cause, to=guest.account.email, language="en")
        emails.append(Email.objects.get(kind="qr_code", cause=cause))
    built = build_messages(emails)
    for guest, email in zip(guests, emails, strict=True):
        message = built[email.pk]
        assert isinstance(message, RelatedMessage)
        assert message.to == [guest.account.email]
        assert f"Hi {guest.account.first_name}," in str(message.body)
        assert short_code(guest.qr_token or "") in str(message.body)
        assert message.extra_headers["Message-ID"] == message_id(email)
        png = message.attachments[0].get_payload(decode=True)
        assert scan(png) == pass_url(guest.qr_token or "")


def test_a_code_whose_image_is_not_on_this_disk_is_drawn() -> None:
    guest = make_guest()
    token = guest.qr_token or ""
    stored = read_image(token)
    Path(default_storage.path(image_name(token))).unlink(missing_ok=True)
    assert scan(read_image(token)) == scan(stored) == pass_url(token)


def test_positions_on_waiting_lists_are_read_at_once() -> None:
    first, second = make_event(capacity=1), make_event(capacity=1)
    for event in (first, second):
        make_guest(event)
    waiting = [make_guest(event) for event in (first, second, first, first)]
    with CaptureQueriesContext(connection) as captured:
        positions = Guest.objects.positions(guest.pk for guest in waiting)
    assert len(captured) == 1
    assert [positions[guest.pk] for guest in waiting] == [1, 1, 2, 3]
    assert all(guest.position() == positions[guest.pk] for guest in waiting)


def test_short_codes_can_be_read_aloud_and_differ() -> None:
    codes = {short_code(f"token{number}") for number in range(500)}
    assert len(codes) == 500
    assert not set("".join(codes)) & set("01IO")
