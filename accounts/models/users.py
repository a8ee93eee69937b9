"""Accounts."""

import secrets
from collections.abc import Iterable
from contextlib import suppress
from typing import Any, ClassVar

from django.conf import settings
from django.contrib.auth.base_user import AbstractBaseUser, BaseUserManager
from django.contrib.auth.models import PermissionsMixin
from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.indexes import GinIndex, OpClass
from django.db import models, transaction
from django.db.models.functions import Concat, Now, Upper
from django.utils.crypto import salted_hmac
from django.utils.translation import gettext_lazy as _

from accounts.mailboxes import likely_domain
from accounts.names import MAX_NAME_LENGTH, NameField
from accounts.phones import PhoneError, PhoneField, parse_phone
from notifications.push import push
from notifications.recipients import recipient_key
from snap.search import Folded
from snap.text_fields import EmailAddressField

# How many ended sessions an account stores. One more ends all its sessions and empties the list.
MAX_ENDED_SESSIONS = 30
FULL_NAME = Concat("first_name", models.Value(" "), "last_name", output_field=models.CharField())


def make_nonce() -> str:
    return secrets.token_hex(16)


def sockets_of(account_id: object) -> str:
    """Return the name of the channel group of all open sockets of an account."""
    return f"account.{account_id}"


class UserManager(BaseUserManager["User"]):
    def with_powers(self) -> models.QuerySet["User"]:
        """Return staff, and accounts with permissions that would apply if they became staff."""
        powers = models.Q(is_staff=True) | models.Q(is_superuser=True)
        granted = models.Q(groups__isnull=False) | models.Q(user_permissions__isnull=False)
        return self.filter(powers | granted).distinct()

    def create_user(self, phone: str, password: str | None = None, **fields: Any) -> "User":
        user = self.model(phone=phone, **fields)
        user.set_password(password)
        user.save(using=self._db)
        return user

    def get_by_natural_key(self, username: str | None) -> "User":
        """Return the account with a phone in any spelling, as staff type it to sign in."""
        with suppress(PhoneError):
            username = parse_phone(username or "", settings.DEFAULT_COUNTRY)
        return self.get(phone=username)

    def create_superuser(self, phone: str, password: str | None = None, **fields: Any) -> "User":
        return self.create_user(phone, password, is_staff=True, is_superuser=True, **fields)


class User(AbstractBaseUser, PermissionsMixin):
    """An account: a person, known by one phone number.

    Guests sign in with a one-time code and have no password; staff have one.
    """

    class ProvenBy(models.TextChoices):
        LINK = "link", _("a link in an email")
        EMAIL = "email", _("a code by email")
        SMS = "sms", _("a code by SMS")

    phone = PhoneField(_("phone"), max_length=16, null=True)
    first_name = NameField(_("first name"), max_length=MAX_NAME_LENGTH)
    last_name = NameField(_("last name"), max_length=MAX_NAME_LENGTH, blank=True)
    email = EmailAddressField(_("email"), max_length=254, blank=True)
    # The normalized email by which accounts are counted; `save` sets it.
    email_key = models.CharField(max_length=254, blank=True, db_default="", editable=False)
    language = models.CharField(
        _("language"), max_length=8, choices=settings.LANGUAGES, default=settings.LANGUAGE_CODE
    )
    is_active = models.BooleanField(_("active"), default=True)
    is_staff = models.BooleanField(_("staff"), default=False)
    verified_at = models.DateTimeField(_("proven at"), null=True, blank=True)
    # How the account was proven; "" before migration 0003. A proof by link ends no sessions.
    proven_by = models.CharField(
        _("proven by"),
        max_length=5,
        choices=ProvenBy,
        blank=True,
        default="",
        db_default="",
        editable=False,
    )
    session_nonce = models.CharField(max_length=32, default=make_nonce, editable=False)
    # The browser session that registered, "" when staff did.
    browser = models.CharField(max_length=32, blank=True, db_default="", editable=False)
    # Ids of sessions that were signed out, and of a browser that needs a code to return.
    ended_sessions = ArrayField(
        models.CharField(max_length=32), default=list, db_default=[], blank=True, editable=False
    )
    created_at = models.DateTimeField(_("created at"), db_default=Now(), editable=False)
    last_login = None  # Not used, and it would cost a write at each sign-in.

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
            # For the lists in admin (snap/search.py).
            GinIndex(
                OpClass(Folded("first_name"), "gin_trgm_ops"),
                OpClass(Folded("last_name"), "gin_trgm_ops"),
                OpClass("phone", "gin_trgm_ops"),
                name="accounts_user_search",
            ),
            models.Index(Folded(FULL_NAME), name="accounts_user_by_name"),
            models.Index(
                OpClass(Upper("email"), "text_pattern_ops"), name="accounts_user_by_email_start"
            ),
        ]

    def save(self, *, update_fields: Iterable[str] | None = None, **options: Any) -> None:
        """Save, and update `email_key` together with the email."""
        if update_fields is None or "email" in update_fields:
            self.email_key = recipient_key(self.email)
            update_fields = update_fields and {*update_fields, "email_key"}
        super().save(update_fields=update_fields, **options)

    def __str__(self) -> str:
        return self.name or f"#{self.pk}"

    @property
    def name(self) -> str:
        return f"{self.first_name} {self.last_name}".strip()

    @property
    def has_proven_email(self) -> bool:
        """Return whether a code or link has proven this account's email. An SMS does not."""
        return self.verified_at is not None and self.proven_by != self.ProvenBy.SMS

    @property
    def likely_domain(self) -> str:
        """Return the domain that was probably meant by this email, "" for a right or proven one."""
        if self.has_proven_email:
            return ""
        return likely_domain(self.email)

    @property
    def has_powers(self) -> bool:
        """Return whether this account is one of `with_powers`. At most one query."""
        return self.is_staff or User.objects.with_powers().filter(pk=self.pk).exists()

    def get_full_name(self) -> str:
        """Return the name that admin shows beside the phone in its log of changes."""
        return self.name

    def get_short_name(self) -> str:
        """Return the name with which admin greets staff."""
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
        """Return whether this browser registered the account and has not signed out since."""
        return bool(browser) and browser == self.browser and browser not in self.ended_sessions

    def renew_sessions(self) -> None:
        """Invalidate every session of this account. The caller saves the account."""
        self.session_nonce = make_nonce()
        self.ended_sessions = []
        if self.browser:
            self.ended_sessions.append(self.browser)
        self.close_sockets()

    def sign_out_everywhere(self) -> None:
        """End every session of this account, on all devices."""
        self.renew_sessions()
        self.save(update_fields=["session_nonce", "ended_sessions"])

    @transaction.atomic
    def end_session(self, session_id: str, *, browser: str = "") -> None:
        """End one session and all copies of its cookie. Locks the account's row.

        All sessions of the account end if the session has no id (a cookie from an older release),
        or if MAX_ENDED_SESSIONS have ended before. Ids are not removed by age, because a cookie
        gets a new date whenever its session changes.
        """
        account = User.objects.select_for_update(no_key=True).get(pk=self.pk)
        ended = account.ended_sessions
        if not session_id or len(ended) >= MAX_ENDED_SESSIONS:
            account.sign_out_everywhere()
            return
        if session_id not in ended:
            ended.append(session_id)
        if account.is_known_in(browser):
            ended.append(browser)
        account.save(update_fields=["ended_sessions"])
        account.close_sockets(session_id)

    def close_sockets(self, session_id: str = "") -> None:
        """Close the open sockets of one session, or of all sessions, after the commit."""
        message = {"type": "sessions.ended", "session_id": session_id}
        transaction.on_commit(lambda: push(sockets_of(self.pk), message, wait=False), robust=True)
