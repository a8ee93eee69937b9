"""The policies of routes that are about a phone or a ticket."""

from django.http import HttpRequest

from accounts.sessions import BROWSER_KEY, account_phone
from promo.emergency import browser_has_ticket
from promo.request_data import phone_in_form, phone_in_json
from promo.steps import step_phone
from snap.limits.policy import Policy, account_key

PHONE_CHECK = Policy("phone_check", phone=phone_in_form)
API_PHONE_CHECK = Policy("phone_check", phone=phone_in_json)
# Anything that sends an email. 409 of a call tells whether a phone is taken.
API_LOGIN = Policy("emails", phone=phone_in_json, forgives=frozenset())
CODE = Policy("emails", phone=step_phone)
REGISTER = Policy("emails", phone=step_phone)
# A code for the account that is signed in: about its own phone.
PROVE = Policy("emails", phone=account_phone)


def _ticket_owner(request: HttpRequest) -> str:
    """Return the key of whoever polls a ticket: the account, or the browser that was given it.

    A browser that registers during an outage has no account yet.
    """
    if account := account_key(request):
        return account
    match, browser = request.resolver_match, request.session.get(BROWSER_KEY)
    ticket_id = match.kwargs.get("ticket_id") if match else None
    if browser and ticket_id and browser_has_ticket(request, ticket_id):
        return f"ticket {browser}"
    return ""


# Polls and status reads: a thousand phones behind one address poll.
TICKET = Policy(owner=_ticket_owner)
