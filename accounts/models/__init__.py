"""Accounts, the codes and claims of their holders, and the phones that are refused."""

from accounts.models.blocked_phones import BlockedPhone
from accounts.models.claims import Claim, ClaimChange
from accounts.models.codes import LoginCode
from accounts.models.suspicious import SuspiciousActivity
from accounts.models.users import MOST_ENDED_SESSIONS, User, UserManager, make_nonce, sockets_of

__all__ = [
    "MOST_ENDED_SESSIONS",
    "BlockedPhone",
    "Claim",
    "ClaimChange",
    "LoginCode",
    "SuspiciousActivity",
    "User",
    "UserManager",
    "make_nonce",
    "sockets_of",
]
