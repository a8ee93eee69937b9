"""Models of accounts, their changes of email, one-time codes, claims, blocked phones, suspicion."""

from accounts.models.blocked_phones import BlockedPhone
from accounts.models.claims import Claim, ClaimChange
from accounts.models.devices import AuthenticatorApp, BackupCodes
from accounts.models.email_changes import EmailChange
from accounts.models.login_codes import LoginCode
from accounts.models.suspicious import SuspiciousActivity
from accounts.models.users import FULL_NAME, User, UserManager, make_nonce, sockets_of

__all__ = [
    "FULL_NAME",
    "AuthenticatorApp",
    "BackupCodes",
    "BlockedPhone",
    "Claim",
    "ClaimChange",
    "EmailChange",
    "LoginCode",
    "SuspiciousActivity",
    "User",
    "UserManager",
    "make_nonce",
    "sockets_of",
]
