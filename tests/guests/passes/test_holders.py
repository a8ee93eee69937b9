"""The link in the QR email opens one pass in any browser, and nothing else."""

import pytest
import zxingcpp
from django.conf import settings
from django.core import mail
from django.core.files.storage import default_storage
from django.core.mail import EmailMultiAlternatives
from django.test import Client
from django.utils import timezone
from PIL import Image
from pytest_django import Settings

from accounts.models import User
from guests.models import Event, Guest, GuestRequest
from guests.requests.waiting_list import cancel_guests
from notifications.models import Email
from tests.factories import make_account, make_event, make_guest, make_staff
from tests.helpers.emails import link_in, send_all
from tests.helpers.visitors import Response, Visitor, html_of, state_in

pytestmark = pytest.mark.django_db


def guest_with_email(event: Event | None = None, account: User | None = None) -> tuple[Guest, str]:
    """Return a guest, and the link in the QR email that was sent."""
    guest = make_guest(event, account)
    send_all()
    return guest, link_in("qr_code", guest.account.email)


def browser() -> Client:
    return Client(headers={"accept-language": "en"})


def shows_pass(response: Response, guest: Guest) -> bool:
    return response.status_code == 200 and guest.name in html_of(response)


def is_proven(guest: Guest) -> bool:
    return User.objects.filter(pk=guest.account_id, verified_at__isnull=False).exists()


# Holders of the link -----------------------------------------------------------------------------


def test_the_link_opens_the_pass_in_any_browser_without_a_redirect() -> None:
    guest, link = guest_with_email()
    for client in (browser(), browser()):
        opened = client.get(link)
        assert shows_pass(opened, guest)
        assert f"/media/qr/{guest.qr_token}.png" in html_of(opened)
        assert "no-store" in opened["Cache-Control"]
        assert "Sign out" not in html_of(opened)
    assert is_proven(guest)


def test_both_parts_of_the_email_have_the_link_and_the_image_has_the_bare_address() -> None:
    guest, link = guest_with_email()
    message = next(each for each in mail.outbox if each.to == [guest.account.email])
    assert isinstance(message, EmailMultiAlternatives)
    html = str(message.alternatives[0][0])
    assert link in message.body
    assert html.count(link) == 2
    with default_storage.open(f"qr/{guest.qr_token}.png") as file, Image.open(file) as image:
        (code,) = zxingcpp.read_barcodes(image)
    assert code.text == f"{settings.PUBLIC_URL}/guest/{guest.qr_token}"


def test_the_browser_that_opened_the_link_holds_the_pass_and_others_do_not() -> None:
    guest, link = guest_with_email()
    holder = browser()
    holder.get(link)
    assert shows_pass(holder.get(f"/guest/{guest.qr_token}"), guest)
    assert not shows_pass(browser().get(f"/guest/{guest.qr_token}"), guest)


@pytest.mark.parametrize("header", [{"sec-purpose": "prefetch"}, {"purpose": "prefetch"}, None])
def test_prefetching_the_link_proves_nothing(header: dict[str, str] | None) -> None:
    guest, link = guest_with_email()
    client = browser()
    response = client.get(link, headers=header) if header else client.head(link)
    assert response.status_code == 200
    assert not is_proven(guest)
    assert not shows_pass(client.get(f"/guest/{guest.qr_token}"), guest)


# Limits of the link ------------------------------------------------------------------------------


def test_the_link_gives_nothing_but_its_own_pass() -> None:
    guest, link = guest_with_email()
    other, _ = guest_with_email(account=guest.account)
    ticket = GuestRequest.objects.get(guest=guest)
    client = browser()
    client.get(link)
    assert "_auth_user_id" not in client.session
    assert not shows_pass(client.get(f"/guest/{other.qr_token}"), other)
    assert state_in(client.get(f"/promo/{guest.event.slug}/")) == ""
    assert client.get(f"/promo/{guest.event.slug}/ticket/{ticket.ticket_id}/").status_code == 302
    refused = client.get(f"/api/client-auth/guests/requests/{ticket.ticket_id}")
    assert refused.status_code in {401, 403, 404}
    assert "Sign out" not in html_of(client.get("/promo/"))


def test_the_link_of_one_pass_opens_no_other() -> None:
    guest, link = guest_with_email()
    mine, _ = guest_with_email(guest.event)
    proof = link.partition("?proof=")[2]
    for typed in (proof, proof[:-1], proof + "x", "", "%ff", "x" * 5000, ":", "a:b"):
        response = browser().get(f"/guest/{mine.qr_token}?proof={typed}")
        assert response.status_code == 200, typed
        assert not shows_pass(response, mine), typed
    assert not is_proven(mine)


def test_the_link_tells_a_cancelled_guest_so_and_shows_others_nothing() -> None:
    guest, link = guest_with_email()
    client = browser()
    client.get(link)
    cancel_guests(guest.event_id, [guest.pk], acting_user=make_staff())
    for address in (link, link.partition("?")[0]):
        shown = html_of(client.get(address))
        assert "You are no longer on this list" in shown
        assert "/media/qr/" not in shown
    strangers = html_of(browser().get(link.partition("?")[0]))
    assert "This pass is not valid" in strangers
    assert guest.name not in strangers


def test_the_link_ends_when_the_email_of_the_account_changes() -> None:
    guest, link = guest_with_email()
    client = browser()
    client.get(link)
    User.objects.filter(pk=guest.account_id).update(email="corrected@example.org", verified_at=None)
    assert not shows_pass(client.get(link), guest)
    assert not shows_pass(client.get(f"/guest/{guest.qr_token}"), guest)
    assert not is_proven(guest)


def test_a_link_signed_with_an_older_key_opens_while_the_key_is_a_fallback(
    settings: Settings,
) -> None:
    settings.SECRET_KEY = "an older key"
    guest, link = guest_with_email()
    settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = "a new key", ["an older key"]
    assert shows_pass(browser().get(link), guest)
    settings.SECRET_KEY_FALLBACKS = []
    assert not shows_pass(browser().get(link), guest)


@pytest.mark.slow
def test_a_browser_keeps_the_last_passes_only() -> None:
    client = browser()
    opened = [guest_with_email() for _ in range(12)]
    for _, link in opened:
        client.get(link)
    assert shows_pass(client.get(f"/guest/{opened[-1][0].qr_token}"), opened[-1][0])
    assert not shows_pass(client.get(f"/guest/{opened[0][0].qr_token}"), opened[0][0])
    assert len(client.cookies["session"].value) < 2000


# Proof before the QR code ------------------------------------------------------------------------


def test_a_link_sent_before_the_event_required_a_proof_is_that_proof() -> None:
    guest, link = guest_with_email()
    Event.objects.update(requires_proof=True)
    assert browser().head(link).status_code == 200
    assert not is_proven(guest)
    assert "This pass is not valid" in html_of(browser().get(link.partition("?")[0]))
    assert shows_pass(browser().get(link), guest)
    assert is_proven(guest)


def test_a_first_proof_by_link_sends_the_qr_codes_that_wait_for_it() -> None:
    account = make_account()
    _, link = guest_with_email(account=account)
    waiting = make_guest(make_event(requires_proof=True), account)
    cause = f"guest:{waiting.pk}/1"
    assert not Email.objects.filter(cause=cause).exists()
    browser().get(link)
    assert Email.objects.get(cause=cause).to == account.email


# Strangers ---------------------------------------------------------------------------------------


def test_the_page_for_strangers_links_to_the_sign_in_of_the_event() -> None:
    guest, _ = guest_with_email()
    stranger = Visitor(guest.event)
    shown = html_of(stranger.get(f"/guest/{guest.qr_token}"))
    assert guest.name not in shown
    assert f'href="{stranger.step_url("phone")}"' in shown
    stranger.give_phone(guest.phone or "")
    stranger.type_code(guest.account)
    assert shows_pass(stranger.get(f"/guest/{guest.qr_token}"), guest)


def test_the_sign_in_is_linked_when_the_list_is_closed() -> None:
    guest, _ = guest_with_email()
    Event.objects.update(list_closes_at=timezone.now())
    stranger = Visitor(guest.event)
    assert f'href="{stranger.step_url("phone")}"' in html_of(
        stranger.get(f"/guest/{guest.qr_token}")
    )
    assert stranger.open("phone").status_code == 200
    Event.objects.update(is_published=False)
    assert 'href="/promo/"' in html_of(stranger.get(f"/guest/{guest.qr_token}"))
