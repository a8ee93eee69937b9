"""Every screen that a guest can meet, one after the other, in a real browser.

Each walk yields the name of the screen that the page shows. Tests check it before they go on.
"""

from collections.abc import Callable, Iterator
from datetime import timedelta

from django.db.models.functions import Now
from django.utils import timezone
from playwright.sync_api import expect

from accounts.claims import object_to
from accounts.email_links import signature_for
from accounts.models import BlockedPhone, Claim
from guests.claims.services import grant_claim, refuse_claim, undo_claim
from guests.models import Event, GuestRequest
from guests.requests.waiting_list import cancel_guests
from tests.factories import (
    make_account,
    make_event_promoter,
    make_guest,
    make_promoter,
    make_request,
    make_staff,
)
from tests.helpers.browser import fill_in_registration, give_phone, new_phone, send
from tests.helpers.walks import Walk

HOUR = timedelta(hours=1)
Screens = Callable[[Walk], Iterator[str]]


def walk_events(walk: Walk) -> Iterator[str]:
    """The list of events, and the page of an event in each state."""
    walk.open("/promo/")
    yield "events-empty"
    now = timezone.now()
    promoter = make_promoter(name=walk.texts.promoter)
    full = walk.event(capacity=1)
    sold_out = walk.event(capacity=1, has_waiting_list=False)
    make_guest(full)
    make_guest(sold_out)
    states = {
        "open": walk.event(shows_places_left=True),
        "countdown": walk.event(list_opens_at=now + HOUR / 2),
        "closed": walk.event(list_closes_at=now - HOUR / 60),
        "waiting-list": full,
        "full": sold_out,
        "cancelled": walk.event(cancelled_at=now),
    }
    walk.open("/promo/")
    yield "events"
    for name, event in states.items():
        make_event_promoter(event, promoter=promoter)
        walk.open_event(event, f"{promoter.code}/")
        yield f"event-{name}"


def walk_steps(walk: Walk) -> Iterator[str]:
    """Each step on a page of its own, as it is, filled in wrongly, and refused."""
    walk.forget()
    event, page = walk.event(), walk.page
    walk.open_event(event, "-/phone/")
    yield "step-phone"
    give_phone(page, "1")
    expect(page.locator("#id_phone_error")).to_be_visible()
    yield "step-phone-wrong"
    walk.open_event(event, "-/phone/?again=1")
    yield "step-phone-restarted"
    give_phone(page, new_phone())
    expect(page.locator("[name=first_name]")).to_be_visible()
    yield "step-register"
    send(page)
    expect(page.locator("#id_email_error")).to_be_visible()
    yield "step-register-wrong"
    yield from _walk_codes(walk, event)
    yield from _walk_refusals(walk)


def _walk_codes(walk: Walk, event: Event) -> Iterator[str]:
    page = walk.page
    account = walk.account()
    walk.open_event(event, "-/phone/")
    give_phone(page, account.phone or "")
    expect(page.locator("[name=code]")).to_be_visible()
    yield "step-code"
    send(page)
    expect(page.locator("#id_code_error")).to_be_visible()
    yield "step-code-wrong"
    page.locator("[name=resend]").click()
    expect(page.locator(".notice")).to_be_visible()
    yield "step-code-resent"
    for _ in range(8):
        if page.locator("[data-countdown]").count():
            break
        page.locator("[name=resend]").click()
        page.wait_for_timeout(150)
    if page.locator("[data-countdown]").count():
        yield "step-too-many-codes"
    walk.forget()
    proven = make_guest(walk.event(requires_proof=True), walk.account())
    walk.sign_in(proven.account)
    walk.open_event(proven.event, "-/prove/")
    yield "step-prove"


def _walk_refusals(walk: Walk) -> Iterator[str]:
    walk.forget()
    page, closed = walk.page, walk.event(list_closes_at=timezone.now() - HOUR / 60)
    walk.open_event(closed, "-/phone/")
    give_phone(page, new_phone())
    expect(page.locator("#flow [role=alert]")).to_be_visible()
    yield "step-refused"
    blocked = walk.account()
    BlockedPhone.objects.create(phone=blocked.phone or "", reason="Trouble")
    walk.open_event(walk.event(), "-/phone/")
    give_phone(page, blocked.phone or "")
    expect(page.locator("#flow")).to_be_visible()
    page.wait_for_timeout(200)
    yield "step-blocked"


def walk_dialog(walk: Walk) -> Iterator[str]:
    """The steps and a refusal in the dialog on the event's page."""
    walk.forget()
    event, page = walk.event(shows_places_left=True), walk.page
    walk.open_event(event)
    page.locator("[data-first-step]").first.click()
    expect(page.locator("#dialog [name=phone]")).to_be_visible()
    yield "dialog-phone"
    give_phone(page, "1")
    expect(page.locator("#id_phone_error")).to_be_visible()
    yield "dialog-phone-wrong"
    give_phone(page, new_phone())
    expect(page.locator("[name=first_name]")).to_be_visible()
    yield "dialog-register"
    closed = walk.event(list_closes_at=timezone.now() - HOUR / 60)
    walk.open_event(closed)
    page.locator("[data-first-step]").first.click()
    give_phone(page, new_phone())
    expect(page.locator("#flow [role=alert]")).to_be_visible()
    yield "dialog-refused"


def walk_tickets(walk: Walk) -> Iterator[str]:
    """A ticket in each state, the event's page with one, and passes."""
    for name, make in TICKETS.items():
        request = make(walk)
        walk.forget()
        walk.sign_in(request.account)
        walk.open_event(request.event, f"ticket/{request.ticket_id}/")
        yield f"ticket-{name}"
    created = walk.guest_request()
    assert created.guest
    walk.forget()
    walk.open(f"/guest/{created.guest.qr_token}")
    yield "pass-of-another"
    walk.sign_in(created.account)
    walk.open(f"/guest/{created.guest.qr_token}")
    yield "pass"
    walk.open_event(created.event)
    yield "event-held"
    walk.open("/promo/")
    yield "events-mine"


def _end(walk: Walk, **fields: str) -> GuestRequest:
    event = walk.event(is_published=False)  # No worker takes it up before it has ended.
    request = make_request(event, walk.account())
    GuestRequest.objects.filter(pk=request.pk).update(ended_at=Now(), **fields)
    Event.objects.filter(pk=event.pk).update(is_published=True)
    return request


def _in_line(walk: Walk) -> GuestRequest:
    later = timezone.now() + timedelta(seconds=100)
    request = make_request(walk.event(), walk.account())
    GuestRequest.objects.filter(pk=request.pk).update(next_attempt_at=later)
    return request


def _waitlisted(walk: Walk) -> GuestRequest:
    event = walk.event(capacity=1)
    make_guest(event)
    guest = make_guest(event, walk.account())
    return GuestRequest.objects.get(guest=guest)


def _taken_off(walk: Walk) -> GuestRequest:
    request = walk.guest_request()
    assert request.guest
    cancel_guests(request.event_id, [request.guest.pk], acting_user=make_staff())
    return request


TICKETS: dict[str, Callable[[Walk], GuestRequest]] = {
    "created": lambda walk: walk.guest_request(),
    "unproven": lambda walk: walk.guest_request(requires_proof=True),
    "in-line": _in_line,
    "waitlisted": _waitlisted,
    "refused": lambda walk: _end(walk, state="refused", refusal="list_full"),
    "phone-on-list": lambda walk: _end(walk, state="refused", refusal="phone_on_list"),
    "email-taken": lambda walk: _end(walk, state="refused", refusal="email_taken"),
    "failed": lambda walk: _end(walk, state="dead", error="Oops"),
    "cancelled": _taken_off,
}


def walk_places(walk: Walk) -> Iterator[str]:
    """What a holder can change, what has happened to their event, and the page about their data."""
    walk.forget()
    page, held = walk.page, walk.guest_request()
    walk.open("/privacy/")
    yield "privacy"
    walk.sign_in(held.account)
    walk.open_event(held.event, "-/email/")
    yield "step-email"
    page.locator("[name=send]").click()
    expect(page.locator("[name=email]")).to_be_visible()
    page.fill("[name=email]", "nobody")
    send(page)
    expect(page.locator("#id_email_error")).to_be_visible()
    yield "step-email-wrong"
    walk.open_event(held.event, f"ticket/{held.ticket_id}/")
    page.locator("[name=answer][value=give_back]").click()
    expect(page.locator("[data-countdown]")).to_be_visible()
    yield "ticket-leaving"
    now = timezone.now()
    changes = {
        "cancelled": {"cancelled_at": now},
        "begun": {"starts_at": now - HOUR},
        "over": {"starts_at": now - 3 * HOUR, "ends_at": now - 2 * HOUR},
    }
    for name, fields in changes.items():
        changed = walk.guest_request()
        earlier = {"list_opens_at": now - 5 * HOUR, "list_closes_at": now - 4 * HOUR}
        Event.objects.filter(pk=changed.event_id).update(**earlier | fields)
        walk.forget()
        walk.sign_in(changed.account)
        walk.open_event(changed.event, f"ticket/{changed.ticket_id}/")
        yield f"ticket-event-{name}"
        assert changed.guest
        walk.open(f"/guest/{changed.guest.qr_token}")
        yield f"pass-event-{name}"


def walk_claims(walk: Walk) -> Iterator[str]:
    """A claim in each state, for the claimant and for the holder, and the link in the welcome."""
    walk.forget()
    page, account = walk.page, walk.account()
    make_guest(walk.event(), account)
    walk.open_event(walk.event(), "-/phone/")
    give_phone(page, account.phone or "")
    page.locator("form.step a[href*='/claim/']").click()
    expect(page.locator(".rules")).to_be_visible()
    yield "step-claim"
    fill_in_registration(page, email="nobody")
    send(page)
    expect(page.locator("#id_email_error")).to_be_visible()
    yield "step-claim-wrong"
    fill_in_registration(page, email=walk.texts.email.replace("e", "f", 1))
    send(page)
    expect(page.locator("[data-claim=open]")).to_be_visible()
    yield "claim-open"
    made_at, claim = page.url, Claim.objects.get()
    link = f"/from-email/claim/{claim.pk}/?proof={signature_for(account, f'claim:{claim.pk}')}"
    staff = make_staff()
    walk.open(link)
    yield "objection-objected"
    walk.open(made_at)
    yield "claim-objected"
    object_to(claim)
    page.goto(link)
    page.locator("[name=answer]").click()
    yield "objection-open"
    grant_claim(claim, acting_user=staff)
    walk.open(made_at)
    yield "claim-granted"
    walk.open(link)
    yield "objection-granted"
    undo_claim(Claim.objects.get(), acting_user=staff)
    walk.open(made_at)
    yield "claim-undone"
    yield from _walk_ended_claims(walk, made_at, link)


def _walk_ended_claims(walk: Walk, made_at: str, link: str) -> Iterator[str]:
    Claim.objects.update(state="open", taken=None)
    refuse_claim(Claim.objects.get(), acting_user=make_staff())
    walk.open(made_at)
    yield "claim-refused"
    walk.open(link)
    yield "objection-refused"
    account = make_account()
    welcome = f"/from-email/welcome/{account.pk}/?proof={signature_for(account, 'welcome')}"
    walk.open(welcome)
    yield "email-proven"


def walk_errors(walk: Walk) -> Iterator[str]:
    """The error pages that a visitor can cause."""
    walk.forget()
    walk.open("/promo/nada/")
    yield "error-404"
    walk.open("/promo/%00/")
    yield "error-400"
    walk.open_event(walk.event(), "-/phone/")
    walk.page.evaluate(
        "document.querySelector('form.step [name=csrfmiddlewaretoken]').value = 'x';"
        "document.querySelector('form.step').submit()"
    )
    expect(walk.page.locator("#message")).to_be_visible()
    yield "error-csrf"


def walk_outage(walk: Walk) -> Iterator[str]:
    """The pages of a web process whose database is away, and those past a limit."""
    walk.forget()
    page, event = walk.page, walk.event()
    walk.open_event(event)  # So that the host has a snapshot of the event.
    away = {"DATABASE_URL": "postgres://snap@127.0.0.1:9/snap"}
    with walk.stack.another_web(**away) as url:
        page.goto(f"{url}/promo/{event.slug}/-/phone/")
        give_phone(page, new_phone())
        fill_in_registration(page)
        send(page)
        expect(page.locator("#ticket[data-state=queued]")).to_be_visible(timeout=15_000)
        yield "ticket-queued"
        page.goto(f"{url}/promo/{event.slug}/-/claim/")
        yield "error-503"
    with walk.stack.another_web(LIMIT_IP="3", CHALLENGE_COST="1000000") as url:
        for _ in range(4):
            page.goto(f"{url}/promo/{event.slug}/")
        expect(page.locator("#message")).to_be_visible()
        yield "too-many"
        page.evaluate("document.querySelector('[data-slow]').submit()")
        expect(page.locator("#message[role=status]")).to_be_visible()
        yield "wait"


ALL: tuple[Screens, ...] = (
    walk_events,
    walk_steps,
    walk_dialog,
    walk_tickets,
    walk_places,
    walk_claims,
    walk_errors,
    walk_outage,
)
