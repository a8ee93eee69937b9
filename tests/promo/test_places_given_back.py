"""Pages on which a holder gives the place back, and undoes that."""

from collections.abc import Callable
from datetime import timedelta
from urllib.parse import urlsplit

import pytest
from django.db.models.functions import Now
from django.test import Client
from django.utils import timezone

from guests.models import Event, Guest, GuestRequest
from guests.passes.holders import link_for_holder
from guests.requests.giving_back import free_places_given_back
from tests.factories import make_account, make_event, make_guest
from tests.helpers.pages import Outline
from tests.helpers.visitors import Response, Visitor, html_of

pytestmark = pytest.mark.django_db

# Opens the page of a guest's place, and returns its response.
Look = Callable[[Visitor, Guest], Response]


def event_page(visitor: Visitor, guest: Guest) -> Response:
    return visitor.look()


def ticket_page(visitor: Visitor, guest: Guest) -> Response:
    return visitor.get(ticket_path(guest))


def pass_page(visitor: Visitor, guest: Guest) -> Response:
    return visitor.get(f"/guest/{guest.qr_token}")


def pass_from_the_email(visitor: Visitor, guest: Guest) -> Response:
    """Open the link from the email in a browser that is not signed in."""
    browser = Visitor(guest.event)
    visitor.browser = browser.browser
    link = urlsplit(link_for_holder(guest))
    return visitor.get(f"{link.path}?{link.query}")


every_page = pytest.mark.parametrize(
    "look", [event_page, ticket_page, pass_page, pass_from_the_email]
)


def ticket_path(guest: Guest) -> str:
    ticket_id = GuestRequest.objects.get(guest=guest).ticket_id
    return f"/promo/{guest.event.slug}/ticket/{ticket_id}/"


def holder_of(guest: Guest) -> Visitor:
    return Visitor(guest.event).signed_in(guest.account)


def tap(visitor: Visitor, page: Response, answer: str) -> Response:
    """Send the form of the page with one of its buttons, and follow the redirect."""
    outline = Outline(html_of(page))
    (button,) = (each for each in outline.all("button") if each.get("value") == answer)
    (form,) = (each for each in outline.all("form") if each.get("id") == button["form"])
    sent = visitor.browser.post(form["action"] or "", {"answer": answer})
    assert sent.status_code == 303
    return visitor.get(sent["Location"])


def let_the_minute_pass() -> None:
    Guest.objects.leaving().update(leaves_at=Now() - timedelta(seconds=1))


@every_page
def test_one_tap_gives_the_place_back_and_another_undoes_it(guest: Guest, look: Look) -> None:
    visitor = holder_of(guest)
    left = tap(visitor, look(visitor, guest), "give_back")
    assert "You gave your place back" in html_of(left)
    assert "/media/qr/" not in html_of(left)
    assert Guest.objects.get().is_leaving
    kept = tap(visitor, left, "keep")
    assert "You are on the list" in html_of(kept)
    assert "/media/qr/" in html_of(kept)
    assert not Guest.objects.get().is_leaving


@every_page
def test_the_page_says_so_when_the_place_is_gone(guest: Guest, look: Look) -> None:
    visitor = holder_of(guest)
    page = look(visitor, guest)
    tap(visitor, page, "give_back")
    let_the_minute_pass()
    free_places_given_back()
    gone = look(visitor, guest) if look is not pass_from_the_email else visitor.get(path(page))
    assert "You gave your place back" in html_of(gone)
    assert "no longer works" in html_of(gone)
    assert "Keep my place" not in html_of(gone)


def path(page: Response) -> str:
    return str(page.wsgi_request.get_full_path())


def test_the_event_page_offers_the_list_again_then(guest: Guest) -> None:
    visitor = holder_of(guest)
    tap(visitor, visitor.look(), "give_back")
    let_the_minute_pass()
    free_places_given_back()
    assert "I want to be on the list" in html_of(visitor.look())
    visitor.send("request")
    assert "You are on the list" in html_of(visitor.look())


def test_the_waiting_list_can_be_left() -> None:
    event = make_event(capacity=1)
    make_guest(event)
    waiting = make_guest(event)
    visitor = holder_of(waiting)
    assert "Leave the waiting list" in html_of(visitor.look())
    tap(visitor, visitor.look(), "give_back")
    let_the_minute_pass()
    free_places_given_back()
    assert Guest.objects.get(pk=waiting.pk).ending == "given_back"


def test_a_stranger_reads_that_the_pass_is_not_valid_meanwhile(guest: Guest) -> None:
    visitor = holder_of(guest)
    tap(visitor, visitor.look(), "give_back")
    page = html_of(pass_page(Visitor(guest.event), guest))
    assert "This pass is not valid" in page


@pytest.mark.parametrize("answer", ["give_back", "keep"])
def test_nobody_else_gives_a_place_back_or_keeps_it(guest: Guest, answer: str) -> None:
    Guest.objects.update(leaves_at=Now() + timedelta(minutes=1) if answer == "keep" else None)
    before = Guest.objects.get().leaves_at
    for visitor in (Visitor(guest.event), Visitor(guest.event).signed_in(make_account())):
        for place in (f"{ticket_path(guest)}place/", f"/guest/{guest.qr_token}/place"):
            assert visitor.browser.post(place, {"answer": answer}).status_code == 404
    assert Guest.objects.get().leaves_at == before


def test_another_site_cannot_send_the_form(guest: Guest) -> None:
    client = Client(enforce_csrf_checks=True)
    client.cookies = holder_of(guest).browser.cookies
    for place in (f"{ticket_path(guest)}place/", f"/guest/{guest.qr_token}/place"):
        assert client.post(place, {"answer": "give_back"}).status_code == 403
        assert client.get(place).status_code == 405
    assert not Guest.objects.get().is_leaving


def test_a_ticket_of_another_event_is_not_found(guest: Guest) -> None:
    other = make_event()
    place = f"{ticket_path(guest)}place/".replace(guest.event.slug, other.slug)
    assert holder_of(guest).browser.post(place).status_code == 404


def cancelled() -> None:
    Event.objects.update(cancelled_at=timezone.now())


def over() -> None:
    now = timezone.now()
    Event.objects.update(starts_at=now - timedelta(hours=2), ends_at=now - timedelta(hours=1))


def checked_in() -> None:
    Guest.objects.update(checked_in_at=timezone.now())


@pytest.mark.parametrize("change", [cancelled, over, checked_in])
def test_there_is_no_button_where_there_is_nothing_to_give_back(
    guest: Guest, change: Callable[[], None]
) -> None:
    change()
    visitor = holder_of(guest)
    for page in (visitor.look(), pass_page(visitor, guest)):
        assert 'value="give_back"' not in html_of(page)
