"""People, the codes by which they prove who they are, and the phones we refuse."""

import hmac
import secrets
from contextlib import suppress
from typing import Any, ClassVar, Self

from django.conf import settings
from django.contrib.auth.base_user import AbstractBaseUser, BaseUserManager
from django.contrib.auth.models import PermissionsMixin
from django.contrib.postgres.fields import ArrayField
from django.db import models, transaction
from django.db.models.functions import Now
from django.utils.crypto import salted_hmac
from django.utils.translation import gettext_lazy as _

from notifications.push import push

from .phones import PhoneError, parse_phone

# Sessions that one account ends one by one. One more ends all of them, and the list begins again.
MOST_ENDED_SESSIONS = 30


def make_nonce() -> str:
    return secrets.token_hex(16)


def sockets_of(account_id: object) -> str:
    """Return the channel group of all sockets that an account has open."""
    return f"account.{account_id}"


class UserManager(BaseUserManager["User"]):
    def with_powers(self) -> models.QuerySet["User"]:
        """Accounts that may do more in admin than a guest, or could once they become staff."""
        powers = models.Q(is_staff=True) | models.Q(is_superuser=True)
        granted = models.Q(groups__isnull=False) | models.Q(user_permissions__isnull=False)
        return self.filter(powers | granted).distinct()

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
    language = models.CharField(
        _("language"), max_length=8, choices=settings.LANGUAGES, default=settings.LANGUAGE_CODE
    )
    is_active = models.BooleanField(_("active"), default=True)
    is_staff = models.BooleanField(_("staff"), default=False)
    verified_at = models.DateTimeField(_("proven at"), null=True, blank=True)
    session_nonce = models.CharField(max_length=32, default=make_nonce, editable=False)
    # The browser session that registered, "" when staff did.
    browser = models.CharField(max_length=32, blank=True, db_default="", editable=False)
    # Ids of sessions that were signed out, and of a browser that may not return without a code.
    ended_sessions = ArrayField(
        models.CharField(max_length=32), default=list, db_default=[], blank=True, editable=False
    )
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

    def __str__(self) -> str:
        return self.name or f"#{self.pk}"

    @property
    def name(self) -> str:
        return f"{self.first_name} {self.last_name}".strip()

    @property
    def has_powers(self) -> bool:
        """Say whether this account is one of `with_powers`. One query at most."""
        return self.is_staff or User.objects.with_powers().filter(pk=self.pk).exists()

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

    def is_known_in(self, browser: str | None) -> bool:
        """Say whether this browser registered the account, and has not signed out of it since."""
        return bool(browser) and browser == self.browser and browser not in self.ended_sessions

    def renew_sessions(self) -> None:
        """Make every session of this account invalid. The caller saves the account."""
        self.session_nonce = make_nonce()
        self.ended_sessions = [self.browser] if self.browser else []
        self.close_sockets()

    def sign_out_everywhere(self) -> None:
        """End every session of this account, on all devices."""
        self.renew_sessions()
        self.save(update_fields=["session_nonce", "ended_sessions"])

    @transaction.atomic
    def end_session(self, session_id: str, *, browser: str = "") -> None:
        """End one session, wherever its cookie was copied.

        A session of an older release has no id: it ends together with all others, and so does one
        more than MOST_ENDED_SESSIONS. No id leaves the list by age: a cookie gets a new date
        whenever its session changes.
        """
        account = User.objects.select_for_update(no_key=True).get(pk=self.pk)
        ended = account.ended_sessions
        if not session_id or len(ended) >= MOST_ENDED_SESSIONS:
            account.sign_out_everywhere()
            return
        is_return = account.is_known_in(browser)
        new = [session_id, browser] if is_return else [session_id]
        account.ended_sessions = ended + [each for each in new if each not in ended]
        account.save(update_fields=["ended_sessions"])
        account.close_sockets(session_id)

    def close_sockets(self, session_id: str = "") -> None:
        """Have the open sockets of one session closed, or of all, once this is committed."""
        message = {"type": "sessions.ended", "session_id": session_id}
        transaction.on_commit(lambda: push(sockets_of(self.pk), message, wait=False), robust=True)


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
