"""The zone of an event is named wherever its time stands: a page or an email is read anywhere."""

import re
from datetime import UTC, datetime, timedelta

import pytest
from django.conf import settings
from django.core import mail
from django.core.mail import EmailMultiAlternatives
from django.test import Client
from django.utils import timezone, translation

from guests.models import Event, GuestRequest
from guests.passes.image import text_of
from guests.previews import preview_text
from tests.factories import make_event, make_guest
from tests.helpers.emails import send_all
from tests.helpers.visitors import Visitor, html_of

pytestmark = pytest.mark.django_db
ZONES = ["Europe/Lisbon", "Atlantic/Azores", "Asia/Kolkata"]


def event_in(zone: str) -> Event:
    now = timezone.now()
    return make_event(time_zone=zone, list_opens_at=now - timedelta(hours=1), slug="noite")


@pytest.mark.parametrize("zone", ZONES)
def test_every_page_names_the_zone_beside_the_time(zone: str) -> None:
    event = event_in(zone)
    guest = make_guest(event)
    holder, newcomer = Visitor(event).signed_in(guest.account), Visitor(event)
    ticket = GuestRequest.objects.get(guest=guest).ticket_id
    paths = ["/promo/", "/promo/noite/", f"/promo/noite/ticket/{ticket}/"]
    paths.append(f"/guest/{guest.qr_token}")
    shown = [html_of(holder.get(path)) for path in paths]
    shown += [html_of(newcomer.look()), html_of(newcomer.open("phone"))]
    time = f"{event.local_start:%H:%M}"
    beside = re.compile(rf"{time}(</time>)? (<span class=\"zone\">)?\({zone}\)")
    for page in shown:
        assert beside.search(page), page
        # Nowhere does the time stand without its zone.
        assert len(re.findall(rf"{time}</time>", page)) == len(
            re.findall(rf"{time}</time> <span class=\"zone\">\({zone}\)", page)
        )


@pytest.mark.parametrize("zone", ZONES)
def test_emails_images_and_links_name_the_zone_beside_the_time(zone: str) -> None:
    event = event_in(zone)
    guest = make_guest(event)
    send_all()
    message = next(each for each in mail.outbox if each.to == [guest.account.email])
    assert isinstance(message, EmailMultiAlternatives)
    texts = [str(message.body), str(message.alternatives[0][0])]
    with translation.override("pt"):
        texts.append(preview_text(event).when)
        texts.append(text_of(guest).when)
    for text in texts:
        assert f"{event.local_start:%H:%M} ({zone})" in text


def test_the_opening_of_a_list_names_its_zone() -> None:
    opens_at = datetime(2040, 7, 1, 12, 34, tzinfo=UTC)
    event = make_event(
        time_zone="Asia/Kolkata",
        list_opens_at=opens_at,
        list_closes_at=opens_at + timedelta(days=1),
        starts_at=opens_at + timedelta(days=2),
        ends_at=opens_at + timedelta(days=3),
    )
    page = html_of(Visitor(event).look())
    assert '18:04</time> <span class="zone">(Asia/Kolkata)' in page


def test_the_api_has_the_zone_and_the_offset_of_each_event() -> None:
    event = event_in("Asia/Kolkata")
    (listed,) = Client().get("/api/events").json()["events"]
    assert listed["timeZone"] == "Asia/Kolkata"
    assert listed["startsAt"] == event.local_start.isoformat()


def test_templates_write_times_of_events_by_the_tag_alone() -> None:
    """A filter would convert them to the zone of the server, and name none."""
    shown = r"\{\{[^}]*(starts_at|ends_at|opens_at|closes_at|local_\w+)[^}]*\}\}"
    written = re.compile(rf"{shown}|\|date:")
    for path in (settings.BASE_DIR / "templates").rglob("*.*"):
        if "admin" not in path.parts:
            assert not written.search(path.read_text()), path
