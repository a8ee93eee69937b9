"""Why an email did not arrive, from the codes and words with which mail servers say it.

A row keeps the code and one of these reasons, never the server's text: that repeats the address.
"""

import re
from enum import StrEnum

from notifications.replies import is_ours

# An enhanced status code (RFC 3463), but no part of an IP address or of a version.
_CODE = re.compile(r"(?<![\d.])([245]\.\d{1,3}\.\d{1,3})(?!\.?\d)")
# How a row's error begins when the provider reported a bounce, or a delay.
BOUNCED = "bounced"
DEFERRED = "deferred"


class BounceReason(StrEnum):
    """Why an email did not arrive. The values are the last words of rows' errors."""

    INVALID = "invalid"  # The address does not exist.
    FULL = "full"  # The mailbox is full.
    BLOCKED = "blocked"  # The mail server refuses emails of this sender.
    SPAM = "spam"  # The mail server takes the email for spam.
    TIMED_OUT = "timed_out"  # The mail server did not accept it in days.
    UNSUBSCRIBED = "unsubscribed"  # The provider sends this person nothing any more.
    AUTHENTICATION = "authentication"  # Our domain is not authenticated: ours to mend.
    OURS = "ours"  # The provider sends nothing for us, for example past a quota: ours to mend.
    OTHER = "other"


# Reasons that say nothing of the address. A guest is not told that the address is wrong.
OUR_REASONS = frozenset({BounceReason.AUTHENTICATION, BounceReason.OURS})

# Codes with a meaning of their own. The rest go by their subject, below.
REASON_OF_CODE = {
    "5.2.2": BounceReason.FULL,
    "4.2.2": BounceReason.FULL,
    "5.2.3": BounceReason.BLOCKED,
    "5.4.1": BounceReason.INVALID,  # Outlook: no such recipient
    "5.4.4": BounceReason.INVALID,  # no server for the domain
    "5.4.7": BounceReason.TIMED_OUT,
    "5.4.310": BounceReason.INVALID,  # Outlook: no such domain
    "5.5.0": BounceReason.INVALID,  # Outlook.com: the mailbox is unavailable
}
REASON_OF_SUBJECT = {
    "1": BounceReason.INVALID,  # the address
    "2": BounceReason.INVALID,  # the mailbox is disabled
    "4": BounceReason.TIMED_OUT,  # the network
    "7": BounceReason.BLOCKED,  # a policy
}
# Words in the text of a mail server that gives no code, or a vague one. The first that fits counts.
REASON_OF_WORDS = (
    (re.compile(r"\b(dmarc|dkim|spf)\b", re.I), BounceReason.AUTHENTICATION),
    (re.compile(r"over ?quota|quota exceeded|mailbox.{0,20}full|insufficient storage", re.I),
     BounceReason.FULL),
    (re.compile(r"(user|mailbox|recipient|address|account).{0,20}"
                r"(unknown|not found|does ?n[o']t exist|invalid|disabled)"
                r"|no such (user|mailbox|recipient)|unknown (user|mailbox|recipient)"
                r"|mx info|no mx|host not found|unrouteable", re.I),
     BounceReason.INVALID),
    (re.compile(r"\bspam", re.I), BounceReason.SPAM),
    (re.compile(r"block(ed|list)|blacklist|reputation", re.I), BounceReason.BLOCKED),
    (re.compile(r"timed? ?out|expired|too old", re.I), BounceReason.TIMED_OUT),
)  # fmt: skip


def code_in(text: str) -> str:
    """Return the first enhanced status code of an error in a text, "" without one."""
    for code in _CODE.findall(text):
        if code[0] in "45":
            return str(code)
    return ""


def reason_for(code: str, text: str = "") -> BounceReason:
    """Return the reason that a code and a server's text give. The code counts first."""
    if is_ours(code):
        return BounceReason.AUTHENTICATION
    if reason := REASON_OF_CODE.get(code):
        return reason
    subject = code.split(".")[1] if code else ""
    # A policy, or no subject: the text may say more.
    if subject not in {"1", "2"}:
        for words, reason in REASON_OF_WORDS:
            if words.search(text):
                return reason
    if code.startswith("4"):
        return BounceReason.TIMED_OUT
    return REASON_OF_SUBJECT.get(subject, BounceReason.OTHER)


def bounce_error(reason: BounceReason, code: str = "") -> str:
    """Return the error of the row of an email that bounced: `bounced 5.1.1 invalid`."""
    return " ".join(filter(None, [BOUNCED, code, reason]))


def bounce_reason(error: str) -> BounceReason:
    """Return the reason in the error of a row that bounced."""
    word = error.rpartition(" ")[2]
    if word in set(BounceReason):
        return BounceReason(word)
    return BounceReason.OTHER
