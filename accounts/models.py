"""People, the codes by which they prove who they are, and the phones we refuse."""

import hmac
import secrets
from collections.abc import Iterable
from contextlib import suppress
from typing import Any, ClassVar, Self

from django.conf import settings
from django.contrib.auth.base_user import AbstractBaseUser, BaseUserManager
from django.contrib.auth.models import PermissionsMixin
from django.db import models
from django.db.models.functions import Now
from django.utils.crypto import salted_hmac
from django.utils.translation import gettext_lazy as _

from notifications.recipients import recipient_key

from .phones import PhoneError, parse_phone


def make_nonce() -> str:
    return secrets.token_hex(16)


class UserManager(BaseUserManager["User"]):
    def create_user(self, phone: str, password: str | None = None, **fields: Any) -> "User":
        user = self.model(phone=phone, **fields)
        user.set_password(password)
        user.save(using=self._db)
        return user

    def get_by_natural_key(self, username: str | None) -> "User":
        """Find by a phone as staff type it into the sign-in form: `912 345 678` will do."""
        with suppress(PhoneError):
            username = parse_phone(username or "", settings.DEFAULT_COUNTRY)
        return self.get(phone=username)

    def create_superuser(self, phone: str, password: str | None = None, **fields: Any) -> "User":
        return self.create_user(phone, password, is_staff=True, is_superuser=True, **fields)


class User(AbstractBaseUser, PermissionsMixin):
    """An account: a person, known by one phone number.

    Guests sign in with a one-time code and have no password; staff have one.
    """

    phone = models.CharField(_("phone"), max_length=16, null=True)
    first_name = models.CharField(_("first name"), max_length=60)
    last_name = models.CharField(_("last name"), max_length=60)
    email = models.EmailField(_("email"), max_length=254, blank=True)
    # The email in the form that accounts are counted by; `save` sets it.
    email_key = models.CharField(max_length=254, blank=True, db_default="", editable=False)
    language = models.CharField(
        _("language"), max_length=8, choices=settings.LANGUAGES, default=settings.LANGUAGE_CODE
    )
    is_active = models.BooleanField(_("active"), default=True)
    is_staff = models.BooleanField(_("staff"), default=False)
    verified_at = models.DateTimeField(_("proven at"), null=True, blank=True)
    session_nonce = models.CharField(max_length=32, default=make_nonce, editable=False)
    # The browser session that registered, "" when staff did.
    browser = models.CharField(max_length=32, blank=True, db_default="", editable=False)
    created_at = models.DateTimeField(_("created at"), db_default=Now(), editable=False)
    last_login = None  # Nobody reads it, and it would cost a write.

    objects: ClassVar[UserManager] = UserManager()

    USERNAME_FIELD = "phone"
    REQUIRED_FIELDS = ["first_name", "last_name", "email"]

    class Meta:
        verbose_name = _("account")
        verbose_name_plural = _("accounts")
        constraints = [
            models.UniqueConstraint(
                fields=["phone"],
                condition=models.Q(phone__isnull=False),
                name="accounts_one_account_per_phone",
            ),
        ]
        indexes = [
            models.Index(
                fields=["email_key"],
                condition=~models.Q(email_key=""),
                name="accounts_user_by_email_key",
            ),
        ]

    def save(self, *, update_fields: Iterable[str] | None = None, **options: Any) -> None:
        """Keep the email's key in step with the email."""
        if update_fields is None or "email" in update_fields:
            self.email_key = recipient_key(self.email)
            update_fields = update_fields and {*update_fields, "email_key"}
        super().save(update_fields=update_fields, **options)

    def __str__(self) -> str:
        return self.name or f"#{self.pk}"

    @property
    def name(self) -> str:
        return f"{self.first_name} {self.last_name}".strip()

    def get_short_name(self) -> str:
        """What admin greets staff by."""
        return self.first_name

    def get_session_auth_hash(self) -> str:
        return self._session_hash(settings.SECRET_KEY)

    def get_session_auth_fallback_hash(self) -> Any:
        for key in settings.SECRET_KEY_FALLBACKS:
            yield self._session_hash(key)

    def _session_hash(self, key: str | bytes) -> str:
        return salted_hmac(
            "accounts.session", f"{self.password}:{self.session_nonce}", secret=key
        ).hexdigest()

    def sign_out_everywhere(self) -> None:
        """End every session of this account, on all devices."""
        self.session_nonce = make_nonce()
        self.save(update_fields=["session_nonce"])


class Claim(models.Model):
    """What somebody says who gave a phone whose account nobody has proven: kept until a code does.

    It replaces the account's names and email once the code that goes with it was typed.
    """

    account = models.ForeignKey(User, on_delete=models.CASCADE, related_name="claims")
    first_name = models.CharField(max_length=60)
    last_name = models.CharField(max_length=60)
    email = models.EmailField(max_length=254)
    language = models.CharField(max_length=8)
    created_at = models.DateTimeField(db_default=Now())

    def __str__(self) -> str:
        return f"claim {self.pk}"


class LoginCodeQuerySet(models.QuerySet["LoginCode"]):
    def usable(self) -> Self:
        return self.filter(used_at=None, expires_at__gt=Now(), tries__lt=settings.LOGIN_CODE_TRIES)


class LoginCode(models.Model):
    """A one-time code sent to an account, usable only in the browser that asked for it.

    The six digits are stored nowhere: they are derived from the row with the secret key, so a copy
    of the database tells nobody a code. A hash of six digits in the row would tell: a million
    guesses find what it belongs to.
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
        return hmac.compare_digest(self.digits().encode(), typed.encode())

    def spend_try(self) -> bool:
        """Count one try, atomically; False when the code is used, expired or out of tries."""
        return bool(
            LoginCode.objects.usable().filter(pk=self.pk).update(tries=models.F("tries") + 1)
        )

    def use(self) -> bool:
        """Mark the code used; False when another request used it first."""
        return bool(LoginCode.objects.filter(pk=self.pk, used_at=None).update(used_at=Now()))


class BlockedPhone(models.Model):
    """A phone, or all phones with a prefix, that may not join any list."""

    phone = models.CharField(_("phone or prefix"), max_length=16, help_text=_("With +: +351912…"))
    is_prefix = models.BooleanField(_("prefix"), default=False)
    reason = models.CharField(_("reason"), max_length=200)
    expires_at = models.DateTimeField(_("expires at"), null=True, blank=True)
    created_at = models.DateTimeField(_("created at"), db_default=Now(), editable=False)

    class Meta:
        verbose_name = _("blocked phone")
        verbose_name_plural = _("blocked phones")
        constraints = [
            models.UniqueConstraint(
                fields=["phone", "is_prefix"], name="accounts_blocked_phone_once"
            ),
            models.CheckConstraint(
                condition=models.Q(phone__regex=r"^\+[0-9]{1,15}$"),
                name="accounts_blocked_phone_is_e164",
                violation_error_message=_("Write it with + and digits only, like +351912345678."),
            ),
        ]

    def __str__(self) -> str:
        return self.phone + ("…" if self.is_prefix else "")


class SuspiciousActivity(models.Model):
    """What looked like an attack: a row for each hour, reason, phone and address, with a count."""

    hour = models.DateTimeField(_("hour"))
    reason = models.CharField(_("reason"), max_length=30)
    phone_hash = models.CharField(_("phone, hashed"), max_length=32, blank=True)
    address = models.CharField(_("address"), max_length=45, blank=True)
    count = models.PositiveBigIntegerField(_("times"))
    first_seen = models.DateTimeField(_("first seen"))
    last_seen = models.DateTimeField(_("last seen"))

    class Meta:
        verbose_name = _("suspicious activity")
        verbose_name_plural = _("suspicious activity")
        constraints = [
            models.UniqueConstraint(
                fields=["hour", "reason", "phone_hash", "address"],
                name="accounts_suspicious_once_an_hour",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.reason} × {self.count}"
