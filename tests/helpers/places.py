"""Where a place is shown, and what only its holder may read there."""

from guests.models import Guest
from tests.helpers.stack import Stack
from tests.helpers.visitors import Response, html_of


def pass_of_only_guest(stack: Stack) -> str:
    """Return the address in the QR code of the only guest in the database."""
    return f"{stack.url}/guest/{Guest.objects.get().qr_token}"


def pages_of(guest: Guest) -> list[str]:
    """Return the paths of the event, the ticket, the pass, the API's ticket, and all events."""
    assert guest.account.email
    ticket = guest.guestrequest_set.get().ticket_id
    return [
        f"/promo/{guest.event.slug}/",
        f"/promo/{guest.event.slug}/ticket/{ticket}/",
        f"/guest/{guest.qr_token}",
        f"/api/client-auth/guests/requests/{ticket}",
        "/promo/",
    ]


def assert_nothing_of(response: Response, guest: Guest) -> None:
    """Check that a response has neither personal data of a guest nor their QR code."""
    text = html_of(response)
    for secret in (
        guest.name,
        guest.account.email,
        guest.phone or "",
        f"/media/qr/{guest.qr_token}",
    ):
        assert secret not in text
