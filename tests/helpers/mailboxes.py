"""One mailbox in many spellings, and the emails that it would receive."""

from notifications.models import Email
from notifications.recipients import recipient_key

VICTIM = "vitima.exemplo@gmail.com"
# Different addresses for a program, one mailbox for its owner.
SPELLINGS = [
    VICTIM,
    "Vitima.Exemplo@Gmail.com",
    "vitimaexemplo@gmail.com",
    "v.i.t.i.m.a.exemplo@gmail.com",
    "vitima.exemplo+1@gmail.com",
    "vitimaexemplo+festa+2@googlemail.com",
    '"vitima.exemplo"@gmail.com',
]


def emails_to_victim() -> int:
    """Return how many emails to the mailbox are queued or sent."""
    count = 0
    for email in Email.objects.exclude(state=Email.State.CANCELLED):
        if recipient_key(email.to) == recipient_key(VICTIM):
            count += 1
    return count
