"""Changes of an account's email by its holder, and by staff who send its emails again."""

from datetime import timedelta
from typing import Self

from django.db import models
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from accounts.models.users import User


class EmailChangeQuerySet(models.QuerySet["EmailChange"]):
    def of_today(self, account: User) -> Self:
        """Keep the changes of an account in the last 24 hours, by the database's clock."""
        return self.filter(account=account, at__gt=Now() - timedelta(days=1))


class EmailChange(models.Model):
    """One change of the email of an account."""

    class Proof(models.TextChoices):
        """What showed that the person is the holder, or that staff made the change."""

        BROWSER = "browser", _("the browser that registered")
        CODE = "code", _("a code")
        STAFF = "staff", _("staff")

    account = models.ForeignKey(
        User, on_delete=models.CASCADE, related_name="email_changes", verbose_name=_("account")
    )
    at = models.DateTimeField(_("when"), db_default=Now(), editable=False)
    from_email = models.EmailField(_("from"), max_length=254, blank=True)
    to_email = models.EmailField(_("to"), max_length=254)
    proof = models.CharField(_("proof"), max_length=10, choices=Proof)
    # Whether a code or a link had proven the email before. It hears of the change then.
    was_proven = models.BooleanField(_("proven before"), default=False)

    objects = EmailChangeQuerySet.as_manager()

    class Meta:
        verbose_name = _("change of an email")
        verbose_name_plural = _("changes of emails")
        ordering = ["-id"]

    def __str__(self) -> str:
        return f"#{self.pk}"
