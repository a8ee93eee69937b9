"""Admin pages of accounts, blocked phones and suspicious activity.

Only superusers change how an account with powers signs in: its phone, email, password, second
factor and groups. Other staff change the accounts of guests.
"""

from contextlib import suppress
from functools import partial
from typing import Any

from django import forms
from django.conf import settings
from django.contrib import admin
from django.contrib.auth.admin import GroupAdmin, UserAdmin
from django.contrib.auth.forms import UserChangeForm
from django.contrib.auth.models import Group
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models import Model, QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _
from django_otp.plugins.otp_static.admin import StaticDevice
from django_otp.plugins.otp_totp.admin import TOTPDevice

from accounts.disposable import DisposableFilter, is_disposable
from accounts.lockout import STAFF_SIGN_IN, refuse_sign_in
from accounts.login_codes import revoke_proofs
from accounts.models import (
    FULL_NAME,
    AuthenticatorApp,
    BackupCodes,
    BlockedPhone,
    SuspiciousActivity,
    User,
)
from accounts.models.suspicious import REASONS, reason_in_words
from accounts.permission_choices import PermissionChoices
from accounts.phone_checks import forget_phone
from accounts.phones import (
    MAX_TYPED_LENGTH,
    PHONE_MESSAGES,
    PhoneError,
    masked_phone,
    parse_any_phone,
    parse_prefix,
    plain_phone,
)
from accounts.suspicious import count_last_day
from notifications.staff_words import render_last_emails
from snap.admin import ChangedFieldsAdmin, CleanedAdmin, LongListAdmin, NamedChoices, SnapAdmin
from snap.admin_output import report_progress, words_filter
from snap.limits.policy import STAFF, limited
from snap.mail_addresses import readable_address
from snap.search import Folded
from snap.text import clean_search
from snap.text_fields import CleanedFormField

POWERS = ["is_staff", "is_superuser", "groups", "user_permissions"]


class PhoneSearchAdmin(SnapAdmin):
    """Finds a phone in any spelling (`912 345 678`, `00351…`), and by its last digits."""

    phone_field = "phone"

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        with suppress(PhoneError):
            search_term = parse_any_phone(search_term, settings.DEFAULT_COUNTRY)
        if is_part_of_phone(search_term):
            search_term = "".join(search_term.split())
        return super().get_search_results(request, queryset, search_term)

    def rows_with(self, word: str, request: HttpRequest) -> QuerySet[Any]:
        found = super().rows_with(word, request)
        if not is_part_of_phone(word):
            return found
        return found.union(self.matching(phone_lookup(self.phone_field, word), word))


# Fewer digits are those of too many phones. So many are the last ones, as people name a phone.
MIN_LAST_DIGITS, MAX_LAST_DIGITS = 3, 4


def is_part_of_phone(term: str) -> bool:
    """Return whether a search term can be a phone, or some digits of one."""
    digits = "".join(term.split()).removeprefix("+")
    return digits.isascii() and digits.isdecimal() and len(digits) >= MIN_LAST_DIGITS


def phone_lookup(field: str, word: str) -> str:
    """Return the lookup for digits: the start after a plus, the end for a few, else any part."""
    if word.startswith("+"):
        return f"{field}__startswith"
    if len(word) <= MAX_LAST_DIGITS:
        return f"{field}__endswith"
    return f"{field}__contains"


class AccountForm(UserChangeForm):  # type: ignore[type-arg]
    class Meta:
        model = User
        fields = "__all__"
        help_texts = {
            "is_active": _(
                "Clear this instead of deleting: the person can no longer sign in or join a list."
                " The lists and their history stay."
            )
        }


class NewAccountForm(forms.ModelForm):  # type: ignore[type-arg]
    """Creates an account without a password, as registration does. Staff can set one later."""

    class Meta:
        model = User
        fields = ["phone", "first_name", "last_name", "email", "language", "is_staff"]

    def save(self, commit: bool = True) -> User:
        account: User = super().save(commit=False)
        account.set_unusable_password()
        if commit:
            account.save()
        return account


@admin.register(User)
class AccountAdmin(
    PermissionChoices,
    LongListAdmin,
    PhoneSearchAdmin,
    ChangedFieldsAdmin,
    UserAdmin,  # type: ignore[type-arg]
):
    form = AccountForm
    add_form = NewAccountForm
    list_display = [
        "name",
        "phone_masked",
        "email_readable",
        "verified_at",
        "is_staff",
        "created_at",
    ]
    list_filter = [
        "is_staff",
        "is_active",
        ("verified_at", admin.EmptyFieldListFilter),
        DisposableFilter,
    ]
    search_fields = ["first_name", "last_name", "email__istartswith"]
    search_help_text = _("Name, email, phone, or the last digits of the phone.")
    ordering = ["-pk"]
    actions = ["sign_out_everywhere"]
    readonly_fields = ["verified_at", "created_at", "last_emails"]
    filter_horizontal = ()
    fieldsets = [
        (None, {"fields": ["phone", "first_name", "last_name", "email", "language"]}),
        (_("History"), {"fields": ["verified_at", "created_at", "last_emails"]}),
        (_("Access"), {"fields": ["is_active", *POWERS]}),
    ]
    add_fieldsets = [(None, {"classes": ["wide"], "fields": NewAccountForm.Meta.fields})]

    def save_model(self, request: HttpRequest, obj: Model, form: Any, change: bool) -> None:
        """Save the changed fields, and revoke the proofs of a changed email or phone."""
        super().save_model(request, obj, form, change)
        email, phone = "email" in form.changed_data, "phone" in form.changed_data
        if change and (email or phone):
            revoke_proofs(User(pk=obj.pk), email=email, phone=phone)
        old_phone = form.initial.get("phone")
        if phone and old_phone:
            transaction.on_commit(partial(forget_phone, old_phone))
        if "is_active" in form.changed_data:
            User(pk=obj.pk).close_sockets()

    @admin.display(description=_("name"), ordering=Folded(FULL_NAME))
    def name(self, account: User) -> str:
        return account.name

    @admin.display(description=_("phone"), ordering="phone")
    def phone_masked(self, account: User) -> str:
        if not account.phone:
            return "–"
        return masked_phone(account.phone)

    @admin.display(description=_("last emails"))
    def last_emails(self, account: User) -> str:
        """Return what became of the last emails to the account's address. One query."""
        return render_last_emails(account.email)

    @admin.display(description=_("email"), ordering="email")
    def email_readable(self, account: User) -> str:
        address = readable_address(account.email)
        if is_disposable(account.email):
            return f"{address} · {gettext('disposable')}"
        return address

    def get_fieldsets(self, request: HttpRequest, obj: User | None = None) -> Any:
        """Show the password section of staff to superusers. Guests sign in with codes only."""
        fieldsets = super().get_fieldsets(request, obj)
        if obj is None or not obj.is_staff or not _is_superuser(request):
            return fieldsets
        return [*fieldsets, (_("Password"), {"fields": ["password"]})]

    def get_readonly_fields(self, request: HttpRequest, obj: User | None = None) -> Any:
        """Let only superusers grant powers, so that other staff cannot grant some to themselves."""
        fields = super().get_readonly_fields(request, obj)
        if _is_superuser(request):
            return fields
        return [*fields, *POWERS]

    def has_change_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        if obj is not None and not _is_superuser(request) and obj.has_powers:
            return False
        return super().has_change_permission(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        """Return False: lists and their history name accounts. `delete_view` says what to do."""
        return False

    def delete_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Say that an account is deactivated instead."""
        account = self.get_object(request, object_id)
        if account is None or not self.has_change_permission(request, account):
            raise PermissionDenied
        context = {
            **self.admin_site.each_context(request),
            "title": _("Accounts are not deleted"),
            "account": account,
            "opts": self.opts,
        }
        return TemplateResponse(request, "admin/accounts/user/kept.html", context)

    @limited(read=STAFF, write=STAFF_SIGN_IN)
    def user_change_password(
        self, request: HttpRequest, id: str, form_url: str = ""
    ) -> HttpResponse:
        """Let superusers set the password of staff. Guests have none."""
        account = self.get_object(request, id)
        if account is None or not account.is_staff or not _is_superuser(request):
            raise PermissionDenied
        if request.method == "POST" and (refused := refuse_sign_in(request)):
            return refused
        response = super().user_change_password(request, id, form_url)
        if request.method == "POST" and response.status_code == 302:
            account.close_sockets()
        return response

    @admin.action(description=_("Sign out everywhere"), permissions=["change"])
    def sign_out_everywhere(self, request: HttpRequest, queryset: QuerySet[User]) -> None:
        if not _is_superuser(request):
            queryset = queryset.exclude(pk__in=User.objects.with_powers())
        for account in queryset:
            account.sign_out_everywhere()
        text = ngettext("%(n)d account signed out.", "%(n)d accounts signed out.", len(queryset))
        report_progress(self, request, text, len(queryset))


def _is_superuser(request: HttpRequest) -> bool:
    return isinstance(request.user, User) and request.user.is_superuser


class SuperusersOnly(CleanedAdmin, admin.ModelAdmin):  # type: ignore[type-arg]
    """Pages for superusers only. Other staff have no access, whatever their permissions."""

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        return super().get_search_results(request, queryset, clean_search(search_term))

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return _is_superuser(request) and super().has_view_permission(request, obj)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return _is_superuser(request) and super().has_add_permission(request)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return _is_superuser(request) and super().has_change_permission(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return _is_superuser(request) and super().has_delete_permission(request, obj)


# Their own apps register these for all staff who have a permission.
admin.site.unregister([Group, TOTPDevice, StaticDevice])


@admin.register(Group)
class PowersAdmin(SuperusersOnly, PermissionChoices, NamedChoices, GroupAdmin):  # type: ignore[misc]
    """Groups. Changing a group changes what its members may do."""

    filter_horizontal = ()


class DeviceAdmin(SuperusersOnly, SnapAdmin):
    """Second factors, without their secrets. Staff whose device is deleted set up another one."""

    list_display = ["user", "confirmed", "created_at", "last_used_at"]
    list_filter = ["confirmed"]
    list_select_related = ["user"]
    search_fields = ["user__first_name", "user__last_name", "user__phone__startswith"]
    ordering = ["-pk"]
    fields = ["user", "confirmed", "created_at", "last_used_at"]
    readonly_fields = ["user", "confirmed", "created_at", "last_used_at"]

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(AuthenticatorApp)
class AuthenticatorAdmin(DeviceAdmin):
    """Authenticator apps. Only staff have one."""


@admin.register(BackupCodes)
class BackupCodesAdmin(DeviceAdmin):
    """Backup codes. Only staff have some."""


class BlockedPhoneForm(forms.ModelForm):  # type: ignore[type-arg]
    is_by_superuser = False
    # Longer than the column: a phone is shorter without what people write between its digits.
    phone = CleanedFormField(
        label=_("phone or prefix"),
        cleaner=plain_phone,
        max_length=MAX_TYPED_LENGTH,
        help_text=_("With +: +351912…"),
    )

    class Meta:
        model = BlockedPhone
        fields = ["phone", "is_prefix", "reason", "expires_at"]

    def clean(self) -> dict[str, Any] | None:
        data = super().clean() or self.cleaned_data
        is_prefix = bool(data.get("is_prefix"))
        try:
            data["phone"] = blocked_digits(data.get("phone") or "", is_prefix=is_prefix)
        except PhoneError as error:
            self.add_error("phone", PHONE_MESSAGES[error.code])
            return data
        blocked = BlockedPhone(phone=data["phone"], is_prefix=is_prefix)
        if blocked.phone and not self.is_by_superuser and blocks_staff(blocked):
            raise forms.ValidationError(
                _("A colleague has this phone. Only a superuser blocks it.")
            )
        return data


def blocked_digits(typed: str, *, is_prefix: bool) -> str:
    """Return a phone or prefix as it is stored, "" for none. Raises PhoneError.

    A service's number can be blocked too.
    """
    if not typed:
        return ""
    if is_prefix:
        return parse_prefix(typed, settings.DEFAULT_COUNTRY)
    return parse_any_phone(typed, settings.DEFAULT_COUNTRY)


def blocks_staff(blocked: BlockedPhone) -> bool:
    """Return whether a block covers the phone of an account with powers. One query."""
    lookup = "phone__startswith" if blocked.is_prefix else "phone"
    return User.objects.with_powers().filter(**{lookup: blocked.phone}).exists()


@admin.register(BlockedPhone)
class BlockedPhoneAdmin(PhoneSearchAdmin):
    form = BlockedPhoneForm
    list_display = ["phone", "is_prefix", "reason", "expires_at", "created_at"]
    list_filter = ["is_prefix"]
    search_fields = ["reason__icontains"]
    ordering = ["-pk"]

    def get_form(
        self,
        request: HttpRequest,
        obj: BlockedPhone | None = None,
        change: bool = False,
        **options: Any,
    ) -> Any:
        form: Any = super().get_form(request, obj, change, **options)
        form.is_by_superuser = _is_superuser(request)
        return form

    def has_change_permission(self, request: HttpRequest, obj: BlockedPhone | None = None) -> bool:
        allowed = super().has_change_permission(request, obj)
        return allowed and self._may_change(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: BlockedPhone | None = None) -> bool:
        allowed = super().has_delete_permission(request, obj)
        return allowed and self._may_change(request, obj)

    def _may_change(self, request: HttpRequest, obj: BlockedPhone | None) -> bool:
        return obj is None or _is_superuser(request) or not blocks_staff(obj)


@admin.register(SuspiciousActivity)
class SuspiciousActivityAdmin(SnapAdmin):
    """A read-only list of suspicious activity, with the counts of the last day above it."""

    change_list_template = "admin/accounts/suspicious_activity.html"
    list_display = ["hour", "what", "count", "address", "phone_hash", "last_seen"]
    list_filter = [words_filter("reason", _("reason"), lambda: REASONS), "hour"]
    fields = ["hour", "what", "count", "address", "phone_hash", "first_seen", "last_seen"]
    readonly_fields = ["what"]
    search_fields = ["address__startswith", "phone_hash__exact"]
    ordering = ["-last_seen"]

    @admin.display(description=_("reason"), ordering="reason")
    def what(self, activity: SuspiciousActivity) -> str:
        return reason_in_words(activity.reason)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(
        self, request: HttpRequest, obj: SuspiciousActivity | None = None
    ) -> bool:
        return False

    def has_delete_permission(
        self, request: HttpRequest, obj: SuspiciousActivity | None = None
    ) -> bool:
        return False

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        context: dict[str, Any] = {**(extra_context or {}), **count_last_day()}
        return super().changelist_view(request, context)
