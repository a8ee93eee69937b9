"""The words for every refusal that people can meet."""

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

REFUSALS: dict[str, Promise] = {
    "not_open_yet": _("The list is not open yet."),
    "closed": _("The list is closed."),
    "cancelled": _("This place was cancelled."),
    "list_full": _("The list is full."),
    "refused": _("We cannot take this request."),
    "phone_on_list": _("This phone is on the list already, under another account."),
    "promoter_not_at_event": _("This promoter does not work at this event."),
    "key_reused": _("This Idempotency-Key was used for another event."),
    "phone_taken": _("This phone has an account already. Sign in with it."),
    "unknown_phone": _("This phone has no account yet."),
    "too_many_codes": _("Too many codes were asked for. Try again later."),
    "wrong_code": _("This is not the code. Check the message and try again."),
    "code_expired": _("This code no longer counts. Ask for another one."),
    "too_many_tries": _("Too many wrong codes. Ask for another one."),
    "too_many_claims": _("This number is claimed already. We are looking into it."),
    "claim_waits": _("The code is right. Our team decides this one: you hear from us by email."),
    "unproven": _("You are on the list. Prove that it is you to see the QR code."),
    "failed": _("Something went wrong on our side. We are looking into it and keep your request."),
}


def refusal_text(code: str) -> str:
    """Return the sentence for a GuestError or AccountError code, in the language at hand."""
    return str(REFUSALS.get(code, REFUSALS["refused"]))
