"""What became of the email about a place, for the pages of its holder."""

from accounts.models import User
from guests.models import Event, Guest
from guests.requests.waiting_list import email_about
from notifications.delivery_lines import NO_DELIVERY, Delivery, DeliveryCode, delivery_of
from notifications.models import Email

# The emails that show whether an account's address works.
ABOUT_ACCOUNT = ("welcome", "qr_code", "waitlisted", "place_to_prove")


def delivery_of_place(guest: Guest, account: User, event: Event) -> Delivery:
    """Return what became of the last email about a guest's place, in the event's time. One query.

    `account` and `event` are those of the guest. A guest without a place has no such email.
    """
    if guest.state == Guest.State.CANCELLED:
        return NO_DELIVERY
    wanted = email_about(guest, account)
    kinds = [wanted.kind]
    if guest.is_on_list:
        # The email before the QR code, while the place waits for a proof.
        kinds.append("place_to_prove")
    emails = Email.objects.filter(kind__in=kinds, cause=wanted.cause)
    found = {email.kind: email for email in emails}
    email = found.get(wanted.kind) or found.get("place_to_prove")
    return delivery_of(email, account.email).in_zone(event.zone)


def accepts_no_email(account: User) -> bool:
    """Return whether the address of an account does not exist or refuses emails. Two queries.

    The last email that was not about to be sent decides: the welcome, or one about a place.
    """
    causes = [f"account:{account.pk}"]
    guests = Guest.objects.filter(account=account).values_list("pk", "listings")
    causes += [f"guest:{pk}/{listings}" for pk, listings in guests]
    emails = Email.objects.filter(kind__in=ABOUT_ACCOUNT, cause__in=causes, to=account.email)
    last = emails.exclude(sent_at=None).order_by("sent_at").last()
    refused = {DeliveryCode.NO_SUCH_ADDRESS, DeliveryCode.CAME_BACK}
    return delivery_of(last, account.email).code in refused
