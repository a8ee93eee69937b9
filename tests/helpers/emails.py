"""Links in emails that were sent."""

import re

from django.core import mail

from notifications.sending import send_due_emails

PATHS = {"welcome": "/from-email/welcome/", "claim": "/from-email/claim/", "qr_code": "/guest/"}
PATHS["login_code"] = "/from-email/sign-in/"


def send_all() -> None:
    """Send every email that is due."""
    while send_due_emails():
        pass


def link_in(kind: str, to: str) -> str:
    """Return the path of the link in the last email of a kind to an address, with its query."""
    wanted = re.compile(r"https?://[^/\s]+(" + re.escape(PATHS[kind]) + r"\S*)")
    for message in reversed(mail.outbox):
        if message.to == [to] and (found := wanted.search(str(message.body))):
            return found[1]
    raise AssertionError(f"no email of the kind {kind} has a link")
