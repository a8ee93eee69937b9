"""The second factors of staff, under names that staff know."""

from django.utils.translation import gettext_lazy as _
from django_otp.plugins.otp_static.models import StaticDevice
from django_otp.plugins.otp_totp.models import TOTPDevice


class AuthenticatorApp(TOTPDevice):  # type: ignore[misc]  # untyped
    """An authenticator app of a staff member."""

    class Meta:
        proxy = True
        verbose_name = _("authenticator app")
        verbose_name_plural = _("authenticator apps")

    def __str__(self) -> str:
        return str(self.user)


class BackupCodes(StaticDevice):  # type: ignore[misc]  # untyped
    """The backup codes of a staff member."""

    class Meta:
        proxy = True
        verbose_name = _("backup codes")
        verbose_name_plural = _("backup codes")

    def __str__(self) -> str:
        return str(self.user)
