"""Pages promise no email of a kind that staff have turned off."""

import re

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import translation
from pytest_django import Settings

from accounts.email_links import signature_for
from accounts.models import Claim, User
from guests.models import Guest
from guests.refusals import Refusal, refusal_of, visitor_refusals
from guests.requests.creating import create_due_guests
from guests.requests.tickets import TicketState, ticket_without_guest
from notifications.kinds import known_kinds
from promo.api.responses import ended_response
from promo.sockets.messages import ticket_message
from tests.factories import make_account, make_event, make_guest
from tests.helpers.claims import claim_by, register_holder
from tests.helpers.switches import turn_off, turn_on
from tests.helpers.visitors import PERSON, Visitor, html_of

pytestmark = pytest.mark.django_db

PROMISE = "It is also on its way to your email"
LATER = "Our emails rest for now."
NO_CODES = "We are not sending codes by email right now."


def ticket_page(capacity: int = 5) -> tuple[Visitor, str]:
    event = make_event(capacity=capacity)
    if capacity == 1:
        make_guest(event)
    visitor = Visitor(event)
    visitor.give_phone()
    path = visitor.register()["Location"]
    create_due_guests()
    return visitor, path


def text_of(visitor: Visitor, path: str) -> str:
    return html_of(visitor.get(path))


def test_the_ticket_promises_an_email_only_while_qr_codes_are_sent() -> None:
    visitor, path = ticket_page()
    assert PROMISE in text_of(visitor, path)
    turn_off("emails_qr_code")
    page = text_of(visitor, path)
    assert PROMISE not in page
    assert LATER in page
    turn_on("emails_qr_code")
    assert PROMISE in text_of(visitor, path)


def test_a_ticket_that_came_with_the_request_promises_nothing_either() -> None:
    """Without a look at the row of the email: the partial of a websocket has none."""
    turn_off("emails_qr_code", "async_creation")
    visitor = Visitor(make_event(), htmx=True)
    visitor.give_phone()
    page = html_of(visitor.register())
    assert "qr/" in page
    assert PROMISE not in page
    assert LATER in page


def test_the_waiting_list_promises_the_code_by_email_only_while_it_is_sent() -> None:
    visitor, path = ticket_page(capacity=1)
    assert "comes here and to your email" in text_of(visitor, path)
    turn_off("emails_qr_code")
    assert "comes here and to your email" not in text_of(visitor, path)
    assert "the QR code comes here." in text_of(visitor, path)
    turn_off("emails_waitlisted")
    assert LATER in text_of(visitor, path)


def test_the_pass_says_that_its_email_waits(client: Client) -> None:
    visitor, _path = ticket_page()
    token = Guest.objects.get().qr_token
    turn_off("emails_qr_code")
    page = text_of(visitor, f"/guest/{token}")
    assert LATER in page
    assert "on its way" not in page


def test_the_page_of_a_claim_promises_what_is_sent() -> None:
    account = make_account()
    visitor = Visitor(make_event())
    visitor.give_phone(account.phone or "")
    visitor.open("code")
    assert "We tell the other email at once." in html_of(visitor.open("claim"))
    turn_off("emails_claim", "emails_claim_decided")
    page = html_of(visitor.open("claim"))
    assert "We tell the other email at once." not in page
    assert "You hear from us by email." not in page
    made = visitor.send("claim", **PERSON)
    assert Claim.objects.exists()
    assert "Our emails rest for now: they go out later." in text_of(visitor, made["Location"])


def test_a_ticket_in_the_journal_promises_no_email_while_they_rest(
    settings: Settings,
) -> None:
    from tests.helpers.outages import make_seen_event, open_breaker

    event = make_seen_event()
    for is_off in (False, True):
        if is_off:
            turn_off("emails_qr_code")
        with open_breaker():
            visitor = Visitor(event)
            visitor.give_phone(f"96123456{is_off:d}")
            page = text_of(visitor, visitor.register()["Location"])
        assert ("here and by email" in page) is not is_off
        assert "Your request is queued" in page


def test_the_page_about_privacy_says_what_is_recorded(client: Client, settings: Settings) -> None:
    settings.EMAIL_OPEN_TRACKING = True
    english = {"headers": {"accept-language": "en"}}
    recorded = "whether they arrived and were opened"
    assert recorded in html_of(client.get("/privacy/", **english))  # type: ignore[arg-type]
    turn_off("open_tracking")
    assert recorded not in html_of(client.get("/privacy/", **english))  # type: ignore[arg-type]


# Refusals ----------------------------------------------------------------------------------------

# Words of a text that says that an email is there, or that one comes soon.
SAYS_SENT = re.compile(r"\b(went(?! wrong)|sent|look in your email|hear from us)\b", re.IGNORECASE)


def promises(refusal: Refusal) -> bool:
    texts = (refusal.text, refusal.ticket_heading or "", refusal.ticket_hint)
    return any(SAYS_SENT.search(str(text)) for text in texts)


def refusals_and_kinds() -> list[tuple[str, str]]:
    return [(each.code, kind) for each in visitor_refusals() for kind in each.kinds]


def test_each_refusal_that_speaks_of_an_email_names_its_kinds() -> None:
    with translation.override("en"):
        found = {each.code for each in visitor_refusals() if promises(each)}
    assert found == {code for code, _kind in refusals_and_kinds()}
    assert {kind for _code, kind in refusals_and_kinds()} <= set(known_kinds())


@pytest.mark.parametrize(("code", "kind"), refusals_and_kinds())
def test_no_refusal_says_that_an_email_that_waits_has_gone(code: str, kind: str) -> None:
    with translation.override("en"):
        assert promises(refusal_of(code))
        turn_off(f"emails_{kind}")
        assert not promises(refusal_of(code))
        turn_on(f"emails_{kind}")
        assert promises(refusal_of(code))


def test_calls_and_sockets_do_not_say_that_an_answer_has_gone() -> None:
    event = make_event()
    ticket = ticket_without_guest(event, "1", TicketState.BY_EMAIL)

    def texts() -> str:
        with translation.override("en"):
            response = ended_response(ticket, is_existing=False)
            return f"{response.data} {ticket_message(ticket, 1)}"

    assert texts().count("the answer went to") == 2
    turn_off("emails_qr_code")
    assert "went to" not in texts()
    assert texts().count("the answer goes to") == 2


# Pages that mention emails to come ---------------------------------------------------------------


def test_steps_before_a_code_say_that_none_is_sent() -> None:
    """Not only once somebody has asked for it."""
    event = make_event(requires_proof=True)
    proving = Visitor(event).signed_in(make_account())
    verified = make_account(verified_at="2026-01-01T00:00Z", proven_by="email")
    changing = Visitor(event).signed_in(verified)
    pages = [(proving, "prove"), (changing, "email")]
    for visitor, step in pages:
        assert NO_CODES not in html_of(visitor.open(step))
    turn_off("emails_login_code")
    for visitor, step in pages:
        assert html_of(visitor.open(step)).count(NO_CODES) == 1


def link_page(client: Client, name: str, account: User, cause: int, purpose: str) -> str:
    path = reverse(f"email_links:{name}", args=[cause])
    query = {"proof": signature_for(account, purpose)}
    return html_of(client.get(path, query, headers={"accept-language": "en"}))


def test_the_page_of_a_confirmed_email_says_that_others_rest(client: Client) -> None:
    account = make_account(verified_at="2026-01-01T00:00Z", proven_by="link")
    for kind_is_off in (False, True):
        if kind_is_off:
            turn_off("emails_qr_code")
        page = link_page(client, "welcome", account, account.pk, "welcome")
        assert "QR codes come to this email." in page
        assert ("Our emails rest for now" in page) is kind_is_off


def test_the_page_of_an_objection_says_that_the_answer_rests(client: Client) -> None:
    event = make_event()
    register_holder(event)
    claim_by(Visitor(event))
    Claim.objects.update(state=Claim.State.OBJECTED)
    claim = Claim.objects.get()
    account = claim.account
    for kind_is_off in (False, True):
        if kind_is_off:
            turn_off("emails_claim_decided")
        page = link_page(client, "claim", account, claim.pk, f"claim:{claim.pk}")
        assert "then you hear from us." in page
        assert ("Our emails rest for now" in page) is kind_is_off


def test_a_granted_claim_says_that_codes_rest() -> None:
    event = make_event()
    register_holder(event)
    claimant = Visitor(event)
    path = claim_by(claimant)["Location"]
    decided = {"decided_at": "2026-11-28T00:00Z", "taken": {"email": "ana@example.com"}}
    Claim.objects.update(state=Claim.State.GRANTED, **decided)
    assert "Our emails rest for now" not in text_of(claimant, path)
    turn_off("emails_login_code")
    page = text_of(claimant, path)
    assert "The number is yours" in page
    assert "Our emails rest for now" in page
