"""What staff do with one guest in admin: add, put back, move, take off, attribute, send again."""

from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.db.models import F
from django.test import Client

from accounts.models import BlockedPhone, User
from guests.lists.services import remove_guests
from guests.models import Event, Guest, StaffAction
from notifications.models import Email, EmailResend
from tests.factories import (
    make_account,
    make_event,
    make_event_promoter,
    make_guest,
    make_staff,
    make_team,
)
from tests.helpers.admin import admin_client, admin_url, staff_with
from tests.helpers.invariants import broken_invariants

pytestmark = pytest.mark.django_db

PHONE = "+351912345678"
KEYS = [str(uuid4()) for _ in range(4)]
TYPED = {"name": "Ana Exemplo", "phone": "912 345 678", "email": "ana@example.com", "note": "mesa"}


@pytest.fixture
def staff(manager: User) -> Client:
    """A browser of the manager, in English."""
    return admin_client(manager)


def add_url(event: Event) -> str:
    return f"{admin_url('guests_guest_add')}?event={event.pk}"


def add(staff: Client, event: Event, **typed: str) -> Any:
    form = {**TYPED, "key": KEYS[0], "language": "pt-pt", "attribution": ""} | typed
    return staff.post(add_url(event), form, follow=True)


def levels(response: Any) -> list[str]:
    return [message.level_tag for message in response.context["messages"]]


def do_url(guest: Guest, name: str) -> str:
    return admin_url("guests_guest_do", guest.pk, name)


# Adding -------------------------------------------------------------------------------------------


def test_adding_asks_for_the_event_first(staff: Client) -> None:
    ahead, over = make_event(), make_event(title="Passada")
    Event.objects.filter(pk=over.pk).update(
        starts_at=F("starts_at") - timedelta(days=30), ends_at=F("ends_at") - timedelta(days=30)
    )
    page = staff.get(admin_url("guests_guest_add")).content.decode()
    assert ahead.title in page
    assert "Passada" not in page
    page = staff.get(add_url(ahead)).content.decode()
    assert "0 of 50 places taken" in page
    assert 'name="key"' in page
    assert staff.get(add_url(over)).status_code == 200  # Back at the choice.


def test_staff_add_a_guest_with_promoter_and_note(staff: Client) -> None:
    at = make_event_promoter(team=make_team())
    assert at.team is not None
    response = add(staff, at.event, attribution=f"{at.promoter_id}-{at.team.pk}")
    assert levels(response) == ["success"]
    guest = Guest.objects.get()
    assert (guest.phone, guest.note, guest.promoter, guest.team) == (
        PHONE,
        "mesa",
        at.promoter,
        at.team,
    )
    assert response.redirect_chain[-1][0] == admin_url("guests_guest_change", guest.pk)
    assert "added by hand" in response.content.decode()


def test_a_second_press_leads_to_the_same_guest(staff: Client) -> None:
    event = make_event()
    for _ in range(2):
        response = add(staff, event, phone="", email="")
        assert response.redirect_chain
    assert Guest.objects.count() == 1


def test_without_an_email_staff_get_a_link_that_opens_the_pass_anywhere(staff: Client) -> None:
    event = make_event()
    response = add(staff, event, phone="", email="")
    assert levels(response) == ["success", "warning"]
    guest = Guest.objects.get()
    assert guest.phone is None
    page = response.content.decode()
    start = page.index("/guest/", page.index("copied-text"))
    link = page[start : page.index("</code>", start)]
    browser = Client()
    assert "pass-code" in browser.get(link).content.decode()
    assert guest.name in browser.get(link.partition("?")[0]).content.decode()
    assert guest.name not in Client().get(link.partition("?")[0]).content.decode()
    # Handing the link over proves nothing.
    guest.account.refresh_from_db()
    assert guest.account.verified_at is None
    # It ends with the place.
    remove_guests(event.pk, [guest.pk], acting_user=make_staff())
    assert "pass-code" not in Client().get(link).content.decode()


def test_the_link_ends_when_the_account_gets_another_email(staff: Client, guest: Guest) -> None:
    page = staff.get(admin_url("guests_guest_change", guest.pk)).content.decode()
    start = page.index("/guest/", page.index("copied-text"))
    link = page[start : page.index("</code>", start)]
    assert guest.name in Client().get(link).content.decode()
    User.objects.filter(pk=guest.account_id).update(email="outra@example.com")
    assert guest.name not in Client().get(link).content.decode()


def test_refusals_are_shown_in_the_form_and_keep_what_was_typed(staff: Client) -> None:
    full = make_event(capacity=0)
    page = add(staff, full).content.decode()
    assert "Every place is taken." in page
    assert "ana@example.com" in page
    assert levels(add(staff, full, may_wait="on")) == ["success"]
    assert Guest.objects.get().state == "waiting"
    event = make_event()
    assert "This is not a phone number" in add(staff, event, phone="12").content.decode()
    make_guest(event, make_account(phone="+351961234567"))
    again = add(staff, event, phone="961 234 567", key=KEYS[1]).content.decode()
    assert "on that list already" in again
    BlockedPhone.objects.create(phone="+35193", is_prefix=True, reason="test")
    blocked = add(staff, event, phone="931234567", key=KEYS[2]).content.decode()
    assert "This phone is blocked" in blocked
    other = make_event_promoter()
    stray = add(staff, event, attribution=f"{other.promoter_id}-None", key=KEYS[3])
    assert not stray.redirect_chain
    assert broken_invariants() == []


def test_the_email_of_an_account_stays(staff: Client) -> None:
    make_account(phone=PHONE, email="sua@example.com")
    response = add(staff, make_event())
    assert levels(response) == ["success", "warning"]
    assert "sua@example.com" in response.content.decode()


# Pages of a guest ---------------------------------------------------------------------------------


def test_a_guest_is_taken_off_with_a_reason_and_put_back(staff: Client, guest: Guest) -> None:
    page = staff.get(admin_url("guests_guest_change", guest.pk)).content.decode()
    assert do_url(guest, "remove") in page
    assert do_url(guest, "reinstate") not in page
    assert staff.get(do_url(guest, "remove")).status_code == 200
    assert Guest.objects.get().state == "on_list"
    response = staff.post(do_url(guest, "remove"), {"reason": "pediu"}, follow=True)
    assert levels(response) == ["success"]
    assert "pediu" in response.content.decode()
    assert do_url(guest, "reinstate") in response.content.decode()
    assert Guest.objects.get().ending == "removed"
    # A second press says that it is done, and changes nothing.
    again = staff.post(do_url(guest, "remove"), {"reason": "pediu"})
    assert "has no place any more" in again.content.decode()
    response = staff.post(do_url(guest, "reinstate"), follow=True)
    assert levels(response) == ["success"]
    assert Guest.objects.get().state == "on_list"
    assert StaffAction.objects.count() == 2


def test_a_guest_moves_to_another_event(staff: Client, guest: Guest) -> None:
    there, full = make_event(), make_event(capacity=0)
    refused = staff.post(do_url(guest, "move"), {"event": full.pk})
    assert "Every place is taken." in refused.content.decode()
    response = staff.post(do_url(guest, "move"), {"event": there.pk}, follow=True)
    moved = Guest.objects.get(event=there)
    assert response.redirect_chain[-1][0] == admin_url("guests_guest_change", moved.pk)
    guest.refresh_from_db()
    assert (guest.state, guest.ending, guest.moved_to) == ("cancelled", "moved", there)
    assert broken_invariants() == []


def test_staff_read_that_a_guest_waits(staff: Client, guest: Guest) -> None:
    full = make_event(capacity=0)
    form = {"event": full.pk, "may_wait": "on"}
    moved = staff.post(do_url(guest, "move"), form, follow=True)
    assert levels(moved) == ["warning"]
    assert "moved to the waiting list" in moved.content.decode()
    waiting = Guest.objects.get(event=full)
    staff.post(do_url(waiting, "remove"), follow=True)
    response = staff.post(do_url(waiting, "reinstate"), {"may_wait": "on"}, follow=True)
    assert levels(response) == ["warning"]
    assert "The guest is on the waiting list." in response.content.decode()


def test_the_promoter_is_chosen_among_those_of_the_event(staff: Client) -> None:
    at = make_event_promoter()
    other = make_event_promoter()
    guest = make_guest(at.event)
    url = admin_url("guests_guest_change", guest.pk)
    page = staff.get(url).content.decode()
    assert at.promoter.name in page
    assert other.promoter.name not in page
    form = {"name": guest.name, "note": "", "attribution": f"{at.promoter_id}-None"}
    assert staff.post(url, form).status_code == 302
    assert Guest.objects.get().promoter == at.promoter
    assert StaffAction.objects.get().kind == "attributed"
    stray = form | {"attribution": f"{other.promoter_id}-None"}
    assert staff.post(url, stray).status_code == 200
    # A promoter who left the event stays until staff choose another one.
    at.delete()
    assert staff.post(url, form | {"note": "vip"}).status_code == 302
    stored = Guest.objects.get()
    assert (stored.promoter, stored.note) == (at.promoter, "vip")


# Emails -------------------------------------------------------------------------------------------


def test_a_bounce_is_shown_and_sent_again_to_the_corrected_address(
    staff: Client, guest: Guest
) -> None:
    Email.objects.update(state="bounced", error="bounced invalid")
    url = admin_url("guests_guest_change", guest.pk)
    page = staff.get(url).content.decode()
    assert f"Emails to {guest.account.email} do not arrive." in page
    assert "The address does not exist." in page
    User.objects.filter(pk=guest.account_id).update(email="certa@xn--fa-hia.example")
    assert "do not arrive" not in staff.get(url).content.decode()
    send = admin_url("guests_guest_send", guest.pk)
    email = Email.objects.get()
    response = staff.post(send, {"email": email.pk}, follow=True)
    assert levels(response) == ["success"]
    assert "certa@faß.example" in response.content.decode()
    page = response.content.decode()
    assert "xn--" not in page
    email.refresh_from_db()
    assert (email.to, email.state) == ("certa@xn--fa-hia.example", "queued")
    assert "Sent again" in response.content.decode()
    assert levels(staff.post(send, {"email": ""}, follow=True)) == ["warning"]


def test_the_list_sends_emails_again_and_tells_of_each(staff: Client) -> None:
    guest, silent = make_guest(), make_guest(account=make_account(email=""))
    Email.objects.update(state="sent", queued_at=F("queued_at") - timedelta(hours=1))
    form = {"action": "send_email_again", "_selected_action": [guest.pk, silent.pk]}
    response = staff.post(admin_url("guests_guest_changelist"), form, follow=True)
    assert levels(response) == ["success", "warning"]
    done, refused = map(str, response.context["messages"])
    assert guest.account.email in done
    assert "there is no email address" in refused
    assert EmailResend.objects.count() == 1


def test_emails_of_other_guests_are_not_sent_from_a_page(staff: Client, guest: Guest) -> None:
    make_guest()
    other = Email.objects.exclude(cause__startswith=f"guest:{guest.pk}/").get()
    send = admin_url("guests_guest_send", guest.pk)
    for email in (str(other.pk), "x", "9" * 30):
        assert staff.post(send, {"email": email}).status_code == 404
    assert staff.get(send).status_code == 405


# The list, and permissions ------------------------------------------------------------------------


def test_several_guests_are_put_back_as_far_as_there_are_places(staff: Client) -> None:
    event = make_event(capacity=2)
    guests = [make_guest(event) for _ in range(2)]
    pks = [guest.pk for guest in guests]
    remove_guests(event.pk, pks, acting_user=make_staff())
    Event.objects.filter(pk=event.pk).update(capacity=1)
    form = {"action": "reinstate", "_selected_action": pks}
    response = staff.post(admin_url("guests_guest_changelist"), form, follow=True)
    assert levels(response) == ["success", "warning"]
    assert Guest.objects.filter(state="on_list").count() == 1


def test_the_list_shows_what_matters(staff: Client) -> None:
    at = make_event_promoter(team=make_team())
    guest = make_guest(at.event, promoter=at.promoter, team=at.team)
    Guest.objects.update(note="mesa 4", checked_in_at=F("created_at"))
    page = staff.get(admin_url("guests_guest_changelist")).content.decode()
    for shown in (guest.name, f"… {(guest.phone or '')[-4:]}", at.event.title, "mesa 4", "✓ "):
        assert shown in page
    assert f"{at.promoter} · {at.team}" in page
    assert (guest.phone or "") not in page
    for arrived, count in (("yes", 1), ("no", 0)):
        query = {"arrived": arrived}
        response = staff.get(admin_url("guests_guest_changelist"), query)
        assert response.context["cl"].result_count == count


def test_staff_who_may_only_look_change_nothing(door_staff: User, guest: Guest) -> None:
    client = admin_client(door_staff)
    page = client.get(admin_url("guests_guest_change", guest.pk)).content.decode()
    assert guest.name in page
    assert "formaction" not in page
    assert (guest.qr_token or "") not in page
    assert "/do/" not in page
    assert client.get(admin_url("guests_guest_add")).status_code == 403
    assert client.post(add_url(guest.event), TYPED).status_code == 403
    for name in ("reinstate", "move", "remove"):
        assert client.post(do_url(guest, name)).status_code == 403
    assert client.post(admin_url("guests_guest_send", guest.pk), {"email": ""}).status_code == 403
    assert Guest.objects.get().state == "on_list"


def test_adding_needs_its_own_permission() -> None:
    event = make_event()
    assert (
        admin_client(staff_with("change_guest", "view_guest")).get(add_url(event)).status_code
        == 403
    )
    adder = admin_client(staff_with("add_guest", "view_guest"))
    assert adder.get(add_url(event)).status_code == 200
    assert add(adder, event).redirect_chain
    assert Guest.objects.count() == 1


def test_an_unknown_page_of_a_guest_is_not_found(staff: Client, guest: Guest) -> None:
    assert staff.get(do_url(guest, "delete")).status_code == 404
