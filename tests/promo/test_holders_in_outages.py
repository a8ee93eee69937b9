"""The pages of a holder while the database is away: they show the place, and change nothing."""

import pytest

from guests.models import Guest
from tests.factories import make_account, make_guest
from tests.helpers.outages import make_seen_event, start_database, stop_database_after_a_sweep
from tests.helpers.scans import scan
from tests.helpers.visitors import Visitor, html_of, signed_step

pytestmark = pytest.mark.usefixtures("stoppable_database")


def test_the_place_is_shown_and_saved_and_stays_as_it_is() -> None:
    event = make_seen_event()
    guest = make_guest(event, make_account(email="ines@gmial.com"))
    visitor = Visitor(event).signed_in(guest.account)
    form = signed_step(visitor.open("email"))
    ticket = f"/promo/{event.slug}/ticket/{guest.guestrequest_set.get().ticket_id}/"
    stop_database_after_a_sweep()
    for path in (visitor.event_url, ticket, f"/guest/{guest.qr_token}"):
        page = html_of(visitor.get(path))
        assert "i•••@gmial.com" in page
        # What cannot be changed now is not offered.
        assert visitor.step_url("email") not in page
        assert 'value="give_back"' not in page
    image = visitor.browser.get(f"/guest/{guest.qr_token}/image.png")
    assert scan(image.content).endswith(f"/guest/{guest.qr_token}")
    for path, fields in {
        visitor.step_url("email"): form | {"email": "ines@gmail.com"},
        f"{ticket}place/": {"answer": "give_back"},
        f"/guest/{guest.qr_token}/place": {"answer": "give_back"},
    }.items():
        response = visitor.browser.post(path, fields)
        assert response.status_code == 503
        assert response["Retry-After"]
    start_database()
    stored = Guest.objects.select_related("account").get()
    assert (stored.leaves_at, stored.account.email) == (None, "ines@gmial.com")


def test_a_queued_registration_says_which_email_was_given() -> None:
    visitor = Visitor(make_seen_event(), htmx=True)
    stop_database_after_a_sweep()
    visitor.give_phone()
    queued = visitor.register(email="ines@gmial.com")
    assert queued.status_code == 202
    assert "The email you gave is <strong>i•••@gmial.com</strong>" in html_of(queued)
    shown = visitor.get(queued["HX-Push-Url"])
    assert "<strong>i•••@gmial.com</strong>" in html_of(shown)
