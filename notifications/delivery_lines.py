"""What the person of an email reads about it: one of a few codes, a time, and why it came back."""

from dataclasses import dataclass, replace
from datetime import datetime, tzinfo
from enum import StrEnum

from notifications.bounces import OUR_REASONS, BounceReason, bounce_reason
from notifications.kinds import is_late
from notifications.models import Email
from notifications.services import TOO_MANY_FOR_RECIPIENT
from snap.mail_addresses import is_same_address


class DeliveryCode(StrEnum):
    """What became of an email. Templates choose a sentence for each code."""

    UNKNOWN = "unknown"  # There is no email to tell about.
    ON_ITS_WAY = "on_its_way"
    PAUSED = "paused"  # Staff have turned this kind off, or emergency mode is on: it waits.
    UNSURE = "unsure"  # The provider's response was lost, and nothing is known yet.
    SENT = "sent"
    DELIVERED = "delivered"
    NO_SUCH_ADDRESS = "no_such_address"
    MAILBOX_FULL = "mailbox_full"
    CAME_BACK = "came_back"  # The mail server of the address refused it.
    NOT_SENT = "not_sent"  # It never left.
    OUR_FAULT = "our_fault"  # It did not arrive, and the address is not the reason.


# The person may want to correct the address.
ADDRESS_CODES = frozenset(
    {
        DeliveryCode.NO_SUCH_ADDRESS,
        DeliveryCode.MAILBOX_FULL,
        DeliveryCode.CAME_BACK,
        DeliveryCode.NOT_SENT,
    }
)
FAILED_CODES = ADDRESS_CODES | {DeliveryCode.OUR_FAULT}
CODE_OF_REASON = {
    BounceReason.INVALID: DeliveryCode.NO_SUCH_ADDRESS,
    BounceReason.FULL: DeliveryCode.MAILBOX_FULL,
    **dict.fromkeys(OUR_REASONS, DeliveryCode.OUR_FAULT),
}


@dataclass(frozen=True)
class Delivery:
    """What became of an email. `at` is set where the code has a time."""

    code: DeliveryCode = DeliveryCode.UNKNOWN
    at: datetime | None = None

    @property
    def is_today(self) -> bool:
        """Whether `at` is on the present day of its time zone."""
        return self.at is not None and self.at.date() == datetime.now(self.at.tzinfo).date()

    @property
    def has_failed(self) -> bool:
        return self.code in FAILED_CODES

    @property
    def can_be_the_address(self) -> bool:
        return self.code in ADDRESS_CODES

    def in_zone(self, zone: tzinfo) -> "Delivery":
        """Return it with the time in a zone, as clocks show it at an event."""
        if self.at is None:
            return self
        return replace(self, at=self.at.astimezone(zone))


NO_DELIVERY = Delivery()


def delivery_of(email: Email | None, address: str) -> Delivery:
    """Return what became of an email, for its person who has this address now. No query.

    An email to an address from before says nothing of the present one.
    """
    if email is None or not is_same_address(email.to, address):
        return NO_DELIVERY
    match email.state:
        case Email.State.QUEUED | Email.State.DEAD if email.unsure_provider:
            # After the last attempt, too: each of them may have arrived.
            return Delivery(DeliveryCode.UNSURE)
        case Email.State.QUEUED if is_late(email.kind):
            return Delivery(DeliveryCode.PAUSED)
        case Email.State.QUEUED:
            return Delivery(DeliveryCode.ON_ITS_WAY)
        case Email.State.SENT:
            return Delivery(DeliveryCode.SENT, email.sent_at)
        case Email.State.BOUNCED:
            code = CODE_OF_REASON.get(bounce_reason(email.error), DeliveryCode.CAME_BACK)
            return Delivery(code, email.bounced_at)
        case Email.State.DEAD:
            return Delivery(DeliveryCode.NOT_SENT)
        case Email.State.CANCELLED if email.error == TOO_MANY_FOR_RECIPIENT:
            return Delivery(DeliveryCode.NOT_SENT)
        case Email.State.CANCELLED:
            return NO_DELIVERY
    # A reader who opens an email has received it, with or without a report of that.
    return Delivery(DeliveryCode.DELIVERED, email.delivered_at or email.opened_at)
