"""Suspicious activity."""

from django.db import models
from django.utils.translation import gettext_lazy as _

# What staff read for the reasons.
REASONS = {
    "blocked_phone": _("a blocked phone tried to join"),
    "claim": _("somebody claimed a phone"),
    "code_throttle": _("too many codes were asked for"),
    "password_spray": _("many passwords were tried from one address"),
    "too_many_tries": _("too many wrong codes in a row"),
    "wrong_code": _("wrong code"),
}


def reason_in_words(reason: str) -> str:
    return str(REASONS.get(reason, reason.replace("_", " ")))


class SuspiciousActivity(models.Model):
    """How often suspicious activity was seen: a count for each hour, reason, phone and address."""

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
        return f"{reason_in_words(self.reason)} × {self.count}"
