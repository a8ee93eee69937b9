"""Every refusal that people can meet: its words, its status and the field that it is about.

Pages and the API answer from this one table.
"""

from dataclasses import dataclass

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _


@dataclass(frozen=True)
class Refusal:
    text: Promise
    status: int = 409
    field: str = ""


REFUSALS: dict[str, Refusal] = {
    "not_open_yet": Refusal(_("The list is not open yet.")),
    "closed": Refusal(_("The list is closed.")),
    "cancelled": Refusal(_("This place was cancelled.")),
    "list_full": Refusal(_("The list is full.")),
    "refused": Refusal(_("We cannot take this request."), 403),
    "phone_on_list": Refusal(_("This phone is on the list already, under another account.")),
    "promoter_not_at_event": Refusal(
        _("This promoter does not work at this event."), 400, "promoter_id"
    ),
    "key_reused": Refusal(_("This Idempotency-Key was used for another event.")),
    "phone_taken": Refusal(_("This phone has an account already. Sign in with it.")),
    "email_taken": Refusal(
        _("This email has as many accounts as one may have. Use another one."), 409, "email"
    ),
    "unknown_phone": Refusal(_("This phone has no account yet."), 404),
    "too_many_codes": Refusal(_("Too many codes were asked for. Try again later."), 429),
    "wrong_code": Refusal(_("This is not the code. Check the message and try again."), 400, "code"),
    "code_expired": Refusal(_("This code no longer counts. Ask for another one."), 400, "code"),
    "too_many_tries": Refusal(_("Too many wrong codes. Ask for another one."), 400, "code"),
    "too_many_claims": Refusal(_("This number is claimed already. We are looking into it."), 403),
    "claim_waits": Refusal(
        _("The code is right. Our team decides this one: you hear from us by email."), 403
    ),
    "unproven": Refusal(_("You are on the list. Prove that it is you to see the QR code."), 403),
    "by_email": Refusal(
        _("This phone has an account already, so the answer went to that account's email.")
    ),
    "registered_elsewhere": Refusal(
        _("This number was registered with another email. The answer went there.")
    ),
    "failed": Refusal(
        _("Something went wrong on our side. We are looking into it and keep your request.")
    ),
}


def refusal_of(code: str) -> Refusal:
    """Return the refusal of a GuestError or AccountError code; an unknown one is `refused`."""
    return REFUSALS.get(code, REFUSALS["refused"])


def refusal_text(code: str) -> str:
    """Return the sentence for a GuestError or AccountError code, in the language at hand."""
    return str(refusal_of(code).text)
