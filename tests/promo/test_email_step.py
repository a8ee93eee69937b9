"""The step in which the holder of an account corrects its email."""

import pytest
from django.utils import timezone
from pytest_django import Settings

from accounts.models import LoginCode, User
from guests.models import Guest
from notifications.models import Email
from notifications.services import queue_email
from tests.factories import make_account, make_event, make_guest, make_staff
from tests.helpers.visitors import (
    PHONE,
    Visitor,
    copy_of,
    error_beside,
    html_of,
    location_of,
    registered,
    signed_step,
    with_and_without_htmx,
)

pytestmark = pytest.mark.django_db

RIGHT = "ines@gmail.com"


def typo_visitor(*, htmx: bool = False) -> Visitor:
    """Return a visitor who has registered with a mistyped email."""
    visitor = Visitor(make_event(), htmx=htmx)
    visitor.give_phone()
    visitor.register(email="ines@gmial.com")
    return visitor


def proven_visitor(*, htmx: bool = False) -> Visitor:
    account = make_account(phone=PHONE, email="ines@gmial.com", verified_at=timezone.now())
    return Visitor(make_event(), htmx=htmx).signed_in(account)


def email_now() -> str:
    return User.objects.get(phone=PHONE).email


@with_and_without_htmx
def test_the_browser_that_registered_corrects_it_at_once(htmx: bool) -> None:
    visitor = typo_visitor(htmx=htmx)
    page = html_of(visitor.open("email"))
    assert "i•••@gmial.com" in page
    assert 'value="ines@gmail.com"' in page
    response = visitor.send("email", email=RIGHT)
    if not htmx:
        response = visitor.get(location_of(response))
    page = html_of(response)
    assert "i•••@gmail.com" in page
    assert "We have sent it one" in page
    assert email_now() == RIGHT
    assert Email.objects.filter(to=RIGHT, kind="email_changed").exists()


@with_and_without_htmx
def test_a_proven_account_needs_a_code_to_its_present_email(htmx: bool) -> None:
    visitor = proven_visitor(htmx=htmx)
    page = html_of(visitor.open("email"))
    assert 'name="email"' not in page
    assert "Send me a code" in page
    sent = visitor.send("email", send="1")
    page = html_of(sent if htmx else visitor.get(location_of(sent)))
    assert 'name="code"' in page
    code = LoginCode.objects.get()
    assert Email.objects.get(cause=f"login_code:{code.pk}").to == "ines@gmial.com"
    wrong = visitor.send("email", email=RIGHT, code="000000")
    assert wrong.status_code == 422
    assert error_beside("code", wrong)
    assert email_now() == "ines@gmial.com"
    visitor.send("email", email=RIGHT, code=code.digits())
    assert email_now() == RIGHT
    assert visitor.look().context["request"].user.is_authenticated


def test_a_proven_account_is_not_changed_without_its_code() -> None:
    visitor = proven_visitor()
    visitor.open("email")
    response = visitor.send("email", email=RIGHT)
    assert response.status_code == 422
    assert email_now() == "ines@gmial.com"


def test_a_stolen_cookie_in_another_browser_does_not_change_a_proven_account() -> None:
    visitor = proven_visitor()
    thief = copy_of(visitor)
    thief.open("email")
    assert thief.send("email", email=RIGHT).status_code == 422
    assert email_now() == "ines@gmial.com"


def test_visitors_without_a_session_are_asked_for_their_phone() -> None:
    visitor = Visitor(make_event())
    assert location_of(visitor.open("email")) == visitor.step_url("phone")
    visitor.browser.post(visitor.step_url("email"), {"email": RIGHT})
    assert not Email.objects.exists()


def test_the_form_of_another_account_changes_nothing() -> None:
    """Two tabs, of which the other has signed another account in."""
    visitor = typo_visitor()
    form = signed_step(visitor.open("email"))
    visitor.signed_in(make_account())
    response = visitor.browser.post(visitor.step_url("email"), form | {"email": RIGHT})
    assert location_of(response) == visitor.step_url("phone")
    assert not User.objects.filter(email=RIGHT).exists()


@pytest.mark.parametrize("email", ["", "ines", "ines@gmial.com", "a@localhost"])
def test_an_email_that_cannot_be_used_is_refused_beside_the_field(email: str) -> None:
    visitor = typo_visitor()
    response = visitor.send("email", email=email)
    assert response.status_code == 422
    assert error_beside("email", response)
    assert email_now() == "ines@gmial.com"


def test_staff_who_are_signed_in_without_a_code_need_one_too() -> None:
    visitor = Visitor(make_event()).signed_in(make_staff(email="s@example.com"))
    assert 'name="email"' not in html_of(visitor.open("email"))


def test_the_code_step_says_where_the_code_went() -> None:
    make_account(phone=PHONE, email="ines@gmial.com")
    visitor = Visitor(make_event())
    visitor.give_phone()
    page = html_of(visitor.open("code"))
    assert "i•••@gmial.com" in page
    assert "ines@gmial.com" not in page
    assert "This is not my email" in page


def test_the_code_step_of_its_own_browser_leads_to_the_correction() -> None:
    event = make_event(requires_proof=True)
    visitor, _ = registered(event)
    visitor.open("prove")
    visitor.send("prove")
    page = html_of(visitor.open("code"))
    assert f'href="{visitor.step_url("email")}"' in page
    assert "This is not my email" not in page


# What pages say of the email ----------------------------------------------------------------------


def pages_of_place(guest: Guest) -> list[str]:
    ticket = guest.guestrequest_set.get().ticket_id
    event = f"/promo/{guest.event.slug}/"
    return [event, f"{event}ticket/{ticket}/", f"/guest/{guest.qr_token}"]


def test_an_email_that_did_not_leave_is_on_every_page_of_the_place() -> None:
    guest = make_guest(account=make_account(email="ines@example.com"))
    visitor = Visitor(guest.event).signed_in(guest.account)
    for path in pages_of_place(guest):
        assert "did not arrive" not in html_of(visitor.get(path))
    Email.objects.filter(kind="qr_code").update(state="dead")
    for path in pages_of_place(guest):
        page = html_of(visitor.get(path))
        assert "Our email to <strong>i•••@example.com</strong> did not arrive." in page
        assert f'href="{visitor.step_url("email")}"' in page


def test_a_likely_mistake_in_the_domain_is_on_every_page_of_the_place() -> None:
    guest = make_guest(account=make_account(email="ines@gmial.com"))
    visitor = Visitor(guest.event).signed_in(guest.account)
    for path in pages_of_place(guest):
        page = html_of(visitor.get(path))
        assert "<strong>i•••@gmial.com</strong>" in page
        assert "Did you mean <strong>gmail.com</strong>?" in page
        assert "ines@" not in page


def test_the_waiting_page_says_where_the_code_will_go() -> None:
    event = make_event(capacity=1)
    make_guest(event)
    guest = make_guest(event, make_account(email="ines@example.com"))
    page = html_of(Visitor(event).signed_in(guest.account).look())
    assert "The email to <strong>i•••@example.com</strong> is on its way." in page


def test_an_account_without_an_email_reads_nothing_of_one() -> None:
    guest = make_guest(account=make_account(email=""))
    visitor = Visitor(guest.event).signed_in(guest.account)
    for path in pages_of_place(guest):
        assert visitor.step_url("email") not in html_of(visitor.get(path))


def test_pages_do_not_promise_an_email_to_an_address_that_got_too_many(settings: Settings) -> None:
    settings.EMAILS_PER_RECIPIENT = 1
    account = make_account(email=RIGHT)
    queue_email("welcome", "account:0", to=account.email, language="en", by_stranger=True)
    visitor = typo_visitor()
    visitor.open("email")
    page = html_of(visitor.get(location_of(visitor.send("email", email=RIGHT))))
    assert "We have sent it one" not in page
    assert "Too many went there" in page
    page = html_of(visitor.look())
    assert "also on its way" not in page
    assert "did not arrive" in page


def test_a_holder_who_cannot_read_the_email_is_not_called_somebody_else() -> None:
    visitor = proven_visitor()
    visitor.open("email")
    page = html_of(visitor.open("claim"))
    assert "Which email can you read?" in page
    assert "Somebody gave" not in page
    assert "Back to the code" not in page
    sent = visitor.send("claim", first_name="Inês", last_name="", email=RIGHT)
    assert "We are looking into it" in html_of(visitor.get(location_of(sent)))
    assert email_now() == "ines@gmial.com"
