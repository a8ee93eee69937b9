"""Blocked phones."""

from django.db import models
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from snap.text_fields import LineField


class BlockedPhone(models.Model):
    """A phone, or all phones with a prefix, that may not join any list."""

    phone = models.CharField(_("phone or prefix"), max_length=16, help_text=_("With +: +351912…"))
    is_prefix = models.BooleanField(_("prefix"), default=False)
    reason = LineField(_("reason"), max_length=200)
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
        if self.is_prefix:
            return f"{self.phone}…"
        return self.phone
