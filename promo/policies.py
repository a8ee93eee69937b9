"""The policies of routes that are about a phone."""

from accounts.sessions import account_phone
from snap.policies import Policy

from .reading import phone_in_form, phone_in_json
from .steps import step_phone

PHONE_CHECK = Policy("phone_check", phone=phone_in_form)
API_PHONE_CHECK = Policy("phone_check", phone=phone_in_json)
# Anything that sends an email. 409 of a call tells whether a phone is taken.
API_LOGIN = Policy("emails", phone=phone_in_json, forgives=frozenset())
CODE = Policy("emails", phone=step_phone)
REGISTER = Policy("emails", phone=step_phone)
# A code for the account that is signed in: about its own phone.
PROVE = Policy("emails", phone=account_phone)
