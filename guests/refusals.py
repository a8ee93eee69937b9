"""The refusals that a person can cause: the code, the texts, the HTTP status and field of each.

Pages, the API, the sockets and admin render refusals from this table. The API's schema lists the
codes of those that reach visitors.
"""

from dataclasses import dataclass, replace

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from notifications.kinds import is_late

MISTAKE_HINT = _("If you think this is a mistake, talk to whoever invited you.")
NEXT_NIGHT_HINT = _("There is always a next night.")


@dataclass(frozen=True)
class Refusal:
    """How a GuestError or AccountError is rendered.

    `status`: of the API's response and of the page. `field`: the field of the request that the
    refusal is about, "" for none. `hint` follows the text on the page of a step, and `ticket_hint`
    on the page of a ticket. `ticket_heading` and `staff_text` replace the text on the page of a
    ticket and in admin. `is_for_staff`: only admin has this refusal. While emails of one of
    `kinds` do not go out, `late_text` replaces a text that says that one has gone or will come.
    """

    code: str
    text: Promise
    status: int = 409
    field: str = ""
    hint: Promise = MISTAKE_HINT
    ticket_heading: Promise | None = None
    ticket_hint: Promise = MISTAKE_HINT
    staff_text: Promise | None = None
    is_for_staff: bool = False
    kinds: tuple[str, ...] = ()
    late_text: Promise | None = None
    late_heading: Promise | None = None

    def as_it_is(self) -> "Refusal":
        """Return it with texts that promise no email that waits."""
        if self.late_text is None or not any(map(is_late, self.kinds)):
            return self
        ticket_hint = self.ticket_hint
        if ticket_hint is self.text:
            ticket_hint = self.late_text
        heading = self.late_heading or self.ticket_heading
        return replace(self, text=self.late_text, ticket_hint=ticket_hint, ticket_heading=heading)

    @property
    def fields(self) -> dict[str, list[str]] | None:
        """The texts by field, as the body of an API error has them."""
        if not self.field:
            return None
        return {self.field: [str(self.text)]}


_BY_EMAIL = _("This phone has an account already, so the answer went to that account's email.")
# The kinds of the emails that answer a request.
ANSWERS = ("qr_code", "waitlisted", "place_to_prove")
_TABLE = [
    Refusal(
        "not_open_yet",
        _("The list is not open yet."),
        hint=_("Come back when it opens: the event's page counts down to it."),
    ),
    Refusal(
        "closed",
        _("The list is closed."),
        hint=NEXT_NIGHT_HINT,
        ticket_hint=NEXT_NIGHT_HINT,
    ),
    Refusal("event_cancelled", _("This event was cancelled."), hint=NEXT_NIGHT_HINT),
    Refusal("cancelled", _("You are no longer on this list.")),
    Refusal("given_back", _("You gave your place back.")),
    Refusal("moved_to_event", _("Your place is at another event now.")),
    Refusal(
        "list_full",
        _("The list is full."),
        hint=NEXT_NIGHT_HINT,
        ticket_hint=NEXT_NIGHT_HINT,
    ),
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
        ticket_hint=_("Nothing was registered, and your number is free."),
        staff_text=_(
            "The claimant's email has as many accounts as one may have. Nothing was changed."
        ),
    ),
    Refusal("same_email", _("This is the email that we have."), 400, "email"),
    Refusal(
        "too_many_changes",
        _("The email was changed too often today. Try again tomorrow."),
        409,
        "email",
    ),
    Refusal("needs_proof", _("This account was proven meanwhile: a code is needed now.")),
    Refusal("unknown_phone", _("This phone has no account yet."), 404),
    Refusal("too_many_codes", _("Too many codes were asked for. Try again later."), 429),
    Refusal(
        "codes_paused",
        _("We are not sending codes by email right now."),
        hint=_("It is nothing that you did. Try again in a few minutes."),
    ),
    Refusal("wrong_code", _("This is not the code. Check the message and try again."), 400, "code"),
    Refusal("code_expired", _("This code no longer counts. Ask for another one."), 400, "code"),
    Refusal("too_many_tries", _("Too many wrong codes. Ask for another one."), 400, "code"),
    Refusal("too_many_claims", _("This number is claimed already. We are looking into it."), 403),
    Refusal(
        "claim_waits",
        _("The code is right. Our team decides this one: you hear from us by email."),
        403,
        kinds=("claim_decided",),
        late_text=_(
            "The code is right. Our team decides this one: the page of your claim says how it"
            " stands."
        ),
    ),
    Refusal("unproven", _("You are on the list. Prove that it is you to see the QR code."), 403),
    Refusal(
        "by_email",
        _BY_EMAIL,
        ticket_heading=_("Look in your email"),
        ticket_hint=_BY_EMAIL,
        kinds=ANSWERS,
        late_text=_(
            "This phone has an account already, so the answer goes to that account's email. Our"
            " emails rest for now: if it is not there yet, it comes later."
        ),
        late_heading=_("The answer comes by email"),
    ),
    Refusal(
        "registered_elsewhere",
        _("This number was registered with another email. The answer went there."),
        ticket_heading=_("This number was registered twice"),
        ticket_hint=_(
            "We kept what you wrote, and our team sees both. Is the number yours and that email"
            " not? Give your number again and choose “This is not my email”."
        ),
        kinds=ANSWERS,
        late_text=_(
            "This number was registered with another email. The answer goes there. Our emails rest"
            " for now: if it is not there yet, it comes later."
        ),
    ),
    Refusal(
        "failed",
        _("Something went wrong on our side. We are looking into it and keep your request."),
        ticket_heading=_("This one needs a hand"),
        ticket_hint=_(
            "Something went wrong on our side. We kept your request and are looking into it: you do"
            " not have to ask again."
        ),
    ),
    Refusal(
        "claim_decided",
        _("This claim was decided already, or a later one has to be undone first."),
        is_for_staff=True,
    ),
    Refusal(
        "needs_superuser",
        _("Only a superuser decides about an account that has rights in admin."),
        is_for_staff=True,
    ),
    Refusal(
        "no_room",
        _(
            "Every place is taken. Put the guest on the waiting list, or raise the event's"
            " capacity first."
        ),
        is_for_staff=True,
    ),
    Refusal(
        "no_waiting_list",
        _("Every place is taken, and this event takes nobody for its waiting list now."),
        is_for_staff=True,
    ),
    Refusal(
        "places_promised",
        _("The free places go to those who wait. Try again in a few seconds."),
        is_for_staff=True,
    ),
    Refusal("on_list_already", _("This guest is on that list already."), is_for_staff=True),
    Refusal("not_cancelled", _("This guest has a place already."), is_for_staff=True),
    Refusal("not_placed", _("This guest has no place any more."), is_for_staff=True),
    Refusal("has_arrived", _("This guest is inside already."), is_for_staff=True),
    Refusal("not_on_list", _("This guest has no place on the list."), is_for_staff=True),
    Refusal("not_here", _("This guest is not checked in."), is_for_staff=True),
    Refusal(
        "check_in_off",
        _("Check-in is turned off. Staff turn it on again among the switches."),
        is_for_staff=True,
    ),
    Refusal("same_event", _("This guest is at that event already."), is_for_staff=True),
    Refusal("message_sent", _("This message was confirmed before."), is_for_staff=True),
    Refusal("message_to_nobody", _("There is no guest for this message."), is_for_staff=True),
    Refusal("for_event_over", _("The event is over."), is_for_staff=True),
    Refusal(
        "for_event_cancelled",
        _("The event was cancelled. It takes no guests until it is reinstated."),
        is_for_staff=True,
    ),
    Refusal(
        "for_account_refused",
        _("This phone is blocked, or its account is not active."),
        is_for_staff=True,
    ),
    Refusal(
        "for_account_with_rights",
        _("This phone belongs to a colleague. A colleague joins a list as guests do."),
        is_for_staff=True,
    ),
]
# By code.
REFUSALS = {refusal.code: refusal for refusal in _TABLE}


def visitor_refusals() -> list[Refusal]:
    """Return the refusals that reach visitors by pages, the API and sockets."""
    return [refusal for refusal in _TABLE if not refusal.is_for_staff]


def refusal_of(code: str) -> Refusal:
    """Return the refusal for a GuestError or AccountError code.

    An unknown code gets the text and status of `refused`: a stored request may have a code that an
    earlier release has written.
    """
    return REFUSALS.get(code, REFUSALS["refused"]).as_it_is()


def refusal_text(code: str) -> str:
    """Return the text for a GuestError or AccountError code, in the active language."""
    return str(refusal_of(code).text)


def staff_refusal_text(code: str) -> str:
    """Return the text that admin shows for a code, that of `refused` for an unknown one."""
    refusal = refusal_of(code)
    return str(refusal.staff_text or refusal.text)
