"""Every page of admin says codes in words."""

import re
from collections.abc import Iterator
from html.parser import HTMLParser
from uuid import uuid4

import pytest
from django.contrib import admin as django_admin
from django.http import HttpRequest
from django.test import Client, RequestFactory
from django.utils import timezone
from django_otp.plugins.otp_static.models import StaticDevice
from django_otp.plugins.otp_totp.models import TOTPDevice

from accounts.models import BlockedPhone, Claim, ClaimChange, LoginCode, SuspiciousActivity, User
from accounts.models.suspicious import REASONS
from guests.lists.services import move_guest, reinstate_guest, remove_guests, set_promoter
from guests.models import DeadEntry, Guest, GuestRequest
from guests.refusals import REFUSALS
from notifications.kinds import known_kinds
from notifications.models import Email
from notifications.resending import resend_email
from notifications.services import TOO_MANY_FOR_RECIPIENT
from tests.factories import make_account, make_event_promoter, make_guest, make_request, make_team
from tests.helpers.admin import admin_client, admin_url

pytestmark = pytest.mark.django_db

# `wrong_code`, `guest:43/1`, `account:7`, `snap-granian`; and names that only programmers know.
RAW = re.compile(
    r"\b[a-z]+_[a-z_]+\b|\b[a-z_]+:\d+(/\w+)?\b|\bsnap-\w+|\bpt-pt\b"
    r"|static device|totp device|otp_|pooled",
    re.IGNORECASE,
)
NOW = timezone.now()


class VisibleText(HTMLParser):
    """The text of a page that people see, with titles, labels and placeholders."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.parts: list[str] = []
        self.hidden = 0
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in {"script", "style"}:
            self.hidden += 1
        for name, value in attrs:
            if name in {"title", "alt", "aria-label", "placeholder"} and value:
                self.parts.append(value)

    def handle_endtag(self, tag: str) -> None:
        if tag in {"script", "style"}:
            self.hidden -= 1

    def handle_data(self, data: str) -> None:
        if not self.hidden:
            self.parts.append(data)


def raw_codes(html: str) -> set[str]:
    text = re.sub(r"https?://\S+", "", " ".join(VisibleText(html).parts))
    return {match[0] for match in RAW.finditer(text)}


def make_everything(staff: User) -> None:
    """Make rows with every code that a column of admin can have."""
    at = make_event_promoter(team=make_team())
    guest = make_guest(at.event)
    set_promoter(guest, at.promoter, at.team, acting_user=staff)
    remove_guests(at.event_id, [guest.pk], acting_user=staff, reason="engano")
    reinstate_guest(Guest.objects.get(), acting_user=staff)
    there = make_event_promoter().event
    move_guest(Guest.objects.get(), there, acting_user=staff)
    Guest.objects.filter(event=there).update(checked_in_at=NOW)
    make_emails(guest)
    make_requests()
    make_claims(guest.account, staff)
    for reason in REASONS:
        SuspiciousActivity.objects.create(
            hour=NOW, reason=reason, count=1, first_seen=NOW, last_seen=NOW
        )
    BlockedPhone.objects.create(phone="+35193", is_prefix=True, reason="abuso")
    for device in (TOTPDevice, StaticDevice):
        device.objects.create(user=staff, name="app")


def make_emails(guest: Guest) -> None:
    code = LoginCode.objects.create(
        account=guest.account, browser="b", address_hash="h", expires_at=NOW
    )
    moved = Guest.objects.exclude(pk=guest.pk).get()
    resend_email("waitlisted", f"guest:{moved.pk}/9", actor="account:1")
    for kind in known_kinds():
        for state in Email.State.values:
            cause = {
                "welcome": f"account:{guest.account_id}",
                "login_code": f"login_code:{code.pk}",
            }.get(kind, f"guest:{guest.pk}/{state}")
            fields = {"state": state, "to": "ana@example.com", "language": "pt-pt"}
            Email.objects.get_or_create(kind=kind, cause=cause, defaults=fields)
    Email.objects.filter(state="cancelled").update(error=TOO_MANY_FOR_RECIPIENT)
    Email.objects.filter(state="bounced").update(error="bounced timed_out")
    email = Email.objects.filter(kind="qr_code").first()
    assert email is not None
    email.resends.create(actor="account:1", to="rui@example.com", from_state="bounced")


def make_requests() -> None:
    for code in REFUSALS:
        request = make_request()
        GuestRequest.objects.filter(pk=request.pk).update(
            state="refused", refusal=code, ended_at=NOW
        )
    for level in (1, 2, 3):
        request = make_request()
        GuestRequest.objects.filter(pk=request.pk).update(level=level, state="dead", ended_at=NOW)
    DeadEntry.objects.create(
        ticket_id=uuid4(),
        event_slug="festa",
        phone="+351912345678",
        error="email_taken",
        attempts=1,
        accepted_at=NOW,
        replay_by="account:1",
    )


def make_claims(account: User, staff: User) -> None:
    actors = ["claimant", "holder", "phone", "time", "claim:1", f"account:{staff.pk}", "account:0"]
    for number, actor in enumerate([*actors, "snap-manage", ""]):
        claim = Claim.objects.create(
            account=account,
            browser=f"b{number}",
            first_name="Ana",
            last_name="X",
            email="ana@example.com",
            language="pt-pt",
            state="refused",
            decided_by=actor,
        )
        ClaimChange.objects.create(claim=claim, to_state="refused", actor=actor or "time")


def paths(request: HttpRequest) -> Iterator[str]:
    """Yield the index, each list, each form to add, and the pages of some rows of each.

    The lists show every row with every code.
    """
    yield admin_url("index")
    for model, model_admin in django_admin.site._registry.items():
        name = f"{model._meta.app_label}_{model._meta.model_name}"
        yield admin_url(f"{name}_changelist")
        rows = list(model._default_manager.order_by("pk")[:3])
        for row in rows:
            yield admin_url(f"{name}_change", row.pk)
        for row in rows[:1]:
            yield admin_url(f"{name}_history", row.pk)
        if model_admin.has_add_permission(request):
            yield admin_url(f"{name}_add")


def test_no_page_of_admin_shows_a_code(manager: User) -> None:
    make_everything(manager)
    client: Client = admin_client(manager)
    request = RequestFactory().get("/")
    request.user = manager
    walked = list(paths(request))
    found = {}
    for path in walked:
        response = client.get(path)
        assert response.status_code == 200, path
        if raw := raw_codes(response.content.decode()):
            found[path] = raw
    assert found == {}
    assert len(walked) > 50


def test_the_check_finds_codes() -> None:
    for code in ("wrong_code", "guest:43/1", "account:7", "snap-granian", "Static devices"):
        assert raw_codes(f"<p>Reason: {code}.</p>"), code
    assert not raw_codes('<a href="/guest_x/" class="a_b">Rita</a> 18:05 <script>a_b</script>')


def test_the_author_of_a_change_is_named(manager: User) -> None:
    guest = make_guest(account=make_account())
    page = admin_client(manager).get(admin_url("guests_guest_change", guest.pk)).content.decode()
    assert "program" in page  # The tests' own process.
    remove_guests(guest.event_id, [guest.pk], acting_user=manager, reason="engano")
    page = admin_client(manager).get(admin_url("guests_guest_change", guest.pk)).content.decode()
    assert f"taken off the list: engano · {manager.name}" in page
