"""One-time codes."""

import hmac
from typing import Self

from django.conf import settings
from django.db import models
from django.db.models.functions import Now
from django.utils.crypto import salted_hmac
from django.utils.translation import gettext_lazy as _

from accounts.models.claims import Claim
from accounts.models.users import User, make_nonce


class LoginCodeQuerySet(models.QuerySet["LoginCode"]):
    def usable(self) -> Self:
        """Return codes that are neither used nor expired and have tries left."""
        return self.filter(used_at=None, expires_at__gt=Now(), tries__lt=settings.LOGIN_CODE_TRIES)


class LoginCode(models.Model):
    """A one-time code sent to an account, valid only in the browser that asked for it.

    The six digits are not stored. They are derived from the row with the secret key, so a copy of
    the database reveals no code. A stored hash would: it takes a million guesses to find its code.
    """

    class Channel(models.TextChoices):
        EMAIL = "email", _("email")
        SMS = "sms", _("SMS")

    account = models.ForeignKey(User, on_delete=models.CASCADE, related_name="login_codes")
    browser = models.CharField(max_length=32)
    address_hash = models.CharField(max_length=32)
    phone_prefix = models.CharField(max_length=16, db_default="")
    channel = models.CharField(max_length=5, choices=Channel, db_default="email")
    claim = models.ForeignKey(Claim, on_delete=models.SET_NULL, null=True)
    # The path of the page to which the link in the email leads after signing in. "": the email has
    # no link, since the code is for something else than signing in.
    page = models.CharField(max_length=120, db_default="")
    nonce = models.CharField(max_length=32, default=make_nonce)
    tries = models.PositiveSmallIntegerField(default=0)
    created_at = models.DateTimeField(db_default=Now())
    expires_at = models.DateTimeField()
    used_at = models.DateTimeField(null=True)

    objects = LoginCodeQuerySet.as_manager()

    class Meta:
        indexes = [
            models.Index(fields=["account", "created_at"], name="accounts_code_by_account"),
            models.Index(fields=["address_hash", "created_at"], name="accounts_code_by_address"),
            models.Index(fields=["phone_prefix", "created_at"], name="accounts_code_by_prefix"),
            models.Index(fields=["created_at"], name="accounts_code_by_time"),
        ]

    def __str__(self) -> str:
        return f"login code {self.pk}"

    def digits(self) -> str:
        """Return the six digits: an HMAC of the row, truncated as in RFC 4226, section 5.3."""
        mac = salted_hmac("accounts.login_code", f"{self.pk}:{self.nonce}", algorithm="sha256")
        digest = mac.digest()
        offset = digest[-1] & 0x0F
        number = int.from_bytes(digest[offset : offset + 4], "big") & 0x7FFFFFFF
        return f"{number % 1_000_000:06d}"

    def matches(self, typed: str) -> bool:
        """Return whether the digits were typed. Takes the same time for all wrong ones."""
        return hmac.compare_digest(self.digits().encode(), typed.encode())
