"""The refusals that a person can cause: the code, text, HTTP status and field of each.

Pages, the API and the sockets render refusals from this table. The API's schema lists its codes.
"""

from dataclasses import dataclass

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from guests.requests.tickets import Ticket


@dataclass(frozen=True)
class Refusal:
    """How a GuestError or AccountError is rendered.

    `status`: of the API's response and of the page. `field`: the field of the request that the
    refusal is about, "" for none.
    """

    code: str
    text: Promise
    status: int = 409
    field: str = ""

    @property
    def fields(self) -> dict[str, list[str]] | None:
        """The texts by field, as the body of an API error has them."""
        if not self.field:
            return None
        return {self.field: [str(self.text)]}


_TABLE = [
    Refusal("not_open_yet", _("The list is not open yet.")),
    Refusal("closed", _("The list is closed.")),
    Refusal("cancelled", _("This place was cancelled.")),
    Refusal("list_full", _("The list is full.")),
    Refusal("refused", _("We cannot take this request."), 403),
    Refusal("phone_on_list", _("This phone is on the list already, under another account.")),
    Refusal(
        "promoter_not_at_event", _("This promoter does not work at this event."), 400, "promoter_id"
    ),
    Refusal("key_reused", _("This Idempotency-Key was used for another event.")),
    Refusal("phone_taken", _("This phone has an account already. Sign in with it.")),
    Refusal(
        "email_taken",
        _("This email has as many accounts as one may have. Use another one."),
        409,
        "email",
    ),
    Refusal("unknown_phone", _("This phone has no account yet."), 404),
    Refusal("too_many_codes", _("Too many codes were asked for. Try again later."), 429),
    Refusal("wrong_code", _("This is not the code. Check the message and try again."), 400, "code"),
    Refusal("code_expired", _("This code no longer counts. Ask for another one."), 400, "code"),
    Refusal("too_many_tries", _("Too many wrong codes. Ask for another one."), 400, "code"),
    Refusal("too_many_claims", _("This number is claimed already. We are looking into it."), 403),
    Refusal(
        "claim_waits",
        _("The code is right. Our team decides this one: you hear from us by email."),
        403,
    ),
    Refusal("unproven", _("You are on the list. Prove that it is you to see the QR code."), 403),
    Refusal(
        "by_email",
        _("This phone has an account already, so the answer went to that account's email."),
    ),
    Refusal(
        "registered_elsewhere",
        _("This number was registered with another email. The answer went there."),
    ),
    Refusal(
        "failed",
        _("Something went wrong on our side. We are looking into it and keep your request."),
    ),
]
# By code.
REFUSALS = {refusal.code: refusal for refusal in _TABLE}


def refusal_of(code: str) -> Refusal:
    """Return the refusal for a GuestError or AccountError code.

    An unknown code gets the text and status of `refused`: a stored request may have a code that an
    earlier release has written.
    """
    return REFUSALS.get(code, REFUSALS["refused"])


def refusal_text(code: str) -> str:
    """Return the text for a GuestError or AccountError code, in the active language."""
    return str(refusal_of(code).text)


def code_of_ticket(ticket: Ticket) -> str:
    """Return why a ticket has no place: the code of its refusal, else its state."""
    return ticket.refusal or ticket.state
