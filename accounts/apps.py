from django.apps import AppConfig
from django.contrib.admin import apps as admin_apps
from django.utils.translation import gettext_lazy as _


class AccountsConfig(AppConfig):
    name = "accounts"
    verbose_name = _("accounts")
    default = True

    def ready(self) -> None:
        # These register system checks, the kinds of email that accounts send, and their examples.
        from accounts import checks, email_samples, emails  # noqa: F401
        from accounts.sms import require_channel

        require_channel()


class StaffAdminConfig(admin_apps.AdminConfig):
    """Django's admin with the site of staff, who sign in with a second factor."""

    default = False
    default_site = "accounts.admin_site.StaffSite"
