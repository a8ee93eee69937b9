"""Policies of routes about a phone or a ticket. All others are in snap/limits/policy.py.

Only the policy of sign-ins of staff is in accounts/lockout.py.
"""

from django.http import HttpRequest

from accounts.sessions import BROWSER_KEY, account_phone
from promo.emergency import browser_has_ticket
from promo.request_data import phone_in_form, phone_in_json
from promo.steps import step_phone
from snap.limits.policy import Policy, account_key

PHONE_CHECK = Policy("phone_check", phone=phone_in_form)
API_PHONE_CHECK = Policy("phone_check", phone=phone_in_json)
# Routes that send an email. A 409 counts as a failure: it says that a phone has an account.
API_LOGIN = Policy("emails", phone=phone_in_json, forgives=frozenset())
CODE = Policy("emails", phone=step_phone)
REGISTER = Policy("emails", phone=step_phone)
# The link in the email with a code. It names no phone before it is found to be ours.
SIGN_IN_LINK = Policy("emails")
# A code for the signed-in account. The phone is the account's own.
PROVE = Policy("emails", phone=account_phone)


def _ticket_owner(request: HttpRequest) -> str:
    """Return the key of the client that reads a ticket: the account, or the browser that holds it.

    A browser that registers during an outage has no account yet. "" for any other client.
    """
    if account := account_key(request):
        return account
    browser, match = request.session.get(BROWSER_KEY), request.resolver_match
    if not browser or match is None:
        return ""
    ticket_id = match.kwargs.get("ticket_id")
    if ticket_id and browser_has_ticket(request, ticket_id):
        return f"ticket {browser}"
    return ""


# Polls and status reads. Counted by owner, because many phones behind one address poll.
TICKET = Policy(owner=_ticket_owner)
