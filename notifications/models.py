"""The emails table: the queue and the record of all emails."""

from datetime import timedelta
from typing import Self

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from notifications.kinds import bulk_kinds, kind_label, kinds_to_send
from snap.control.modes import email_wait, is_emergency
from snap.mail_addresses import readable_address
from snap.observability.context import (
    current_request_id,
    current_ticket_id,
    current_traceparent,
)


class EmailQuerySet(models.QuerySet["Email"]):
    def due(self) -> Self:
        """Return emails to send now by the database's clock, of kinds that this process knows.

        Emails of kinds that staff have turned off wait, and in emergency mode all but codes do for
        a while. While two releases run, the older one leaves the kinds of the newer one to it.
        """
        due = self.filter(
            Q(leased_until=None) | Q(leased_until__lte=Now()),
            state=Email.State.QUEUED,
            next_attempt_at__lte=Now(),
            kind__in=kinds_to_send(),
        )
        if not is_emergency():
            return due
        before = Now() - timedelta(seconds=email_wait())
        bulk_before = Now() - timedelta(seconds=email_wait(is_bulk=True))
        return due.filter(
            Q(fast=True)
            | Q(next_attempt_at__lte=bulk_before)
            | Q(next_attempt_at__lte=before) & ~Q(kind__in=bulk_kinds())
        )


class Email(models.Model):
    """One email to one address. Each kind is sent once per cause."""

    class State(models.TextChoices):
        QUEUED = "queued", _("queued")
        SENT = "sent", _("sent")
        DELIVERED = "delivered", _("delivered")
        OPENED = "opened", _("opened")
        BOUNCED = "bounced", _("bounced")
        COMPLAINED = "complained", _("marked as spam")
        CANCELLED = "cancelled", _("no longer wanted")
        DEAD = "dead", _("dead")

    kind = models.CharField(_("kind"), max_length=50)
    cause = models.CharField(_("cause"), max_length=100)
    to = models.EmailField(_("to"))
    # The mailbox's key (`recipient_key`) if a visitor without proof can cause the email.
    recipient = models.CharField(max_length=254, blank=True, db_default="", editable=False)
    by_stranger = models.BooleanField(db_default=False, editable=False)
    language = models.CharField(_("language"), max_length=10)
    state = models.CharField(_("state"), max_length=10, choices=State.choices, default=State.QUEUED)
    fast = models.BooleanField(_("fast lane"), default=False)
    attempts = models.PositiveSmallIntegerField(_("attempts"), default=0)
    next_attempt_at = models.DateTimeField(_("next attempt"), db_default=Now())
    leased_until = models.DateTimeField(_("leased until"), null=True, blank=True)
    # The name of the provider that accepted the email.
    provider = models.CharField(_("provider"), max_length=20, blank=True, db_default="")
    provider_id = models.CharField(_("provider's id"), max_length=255, blank=True)
    # The provider whose response to the last attempt was lost: it may have accepted the email.
    unsure_provider = models.CharField(
        _("response lost by"), max_length=20, blank=True, db_default=""
    )
    error = models.CharField(_("error"), max_length=200, blank=True)
    # What caused it, for the lines of the worker that sends it: the HTTP request, its ticket and
    # its trace.
    request_id = models.CharField(
        max_length=64, blank=True, default=current_request_id, db_default="", editable=False
    )
    ticket_id = models.CharField(
        max_length=36, blank=True, default=current_ticket_id, db_default="", editable=False
    )
    traceparent = models.CharField(
        max_length=55, blank=True, default=current_traceparent, db_default="", editable=False
    )
    queued_at = models.DateTimeField(_("queued"), db_default=Now())
    created_at = models.DateTimeField(_("created"), db_default=Now())
    sent_at = models.DateTimeField(_("sent"), null=True, blank=True)
    # What the provider has reported.
    delivered_at = models.DateTimeField(_("delivered"), null=True, blank=True)
    opened_at = models.DateTimeField(_("opened"), null=True, blank=True)
    bounced_at = models.DateTimeField(_("bounced"), null=True, blank=True)
    complained_at = models.DateTimeField(_("marked as spam"), null=True, blank=True)

    objects = EmailQuerySet.as_manager()

    class Meta:
        verbose_name = _("email")
        verbose_name_plural = _("emails")
        constraints = [
            models.UniqueConstraint(fields=["kind", "cause"], name="email_once_per_cause"),
            models.CheckConstraint(
                condition=Q(
                    state__in=[
                        "queued",
                        "sent",
                        "delivered",
                        "opened",
                        "bounced",
                        "complained",
                        "cancelled",
                        "dead",
                    ]
                ),
                name="email_state_is_known",
            ),
        ]
        indexes = [
            models.Index(
                models.F("fast").desc(),
                "next_attempt_at",
                condition=Q(state="queued"),
                name="email_due",
            ),
            # Few: the sweeper counts them every few seconds.
            models.Index(fields=["id"], condition=Q(state="dead"), name="email_dead"),
            models.Index(
                fields=["provider_id"],
                condition=~Q(provider_id=""),
                name="email_by_provider_id",
            ),
            models.Index(
                fields=["recipient", "created_at"],
                condition=Q(by_stranger=True),
                name="email_by_recipient",
            ),
        ]

    def __str__(self) -> str:
        return f"{kind_label(self.kind)} · {readable_address(self.to)}"


class SuppressionQuerySet(models.QuerySet["Suppression"]):
    def active(self) -> Self:
        """Return the mailboxes that get no bulk emails now."""
        return self.filter(lifted_at=None)


class Suppression(models.Model):
    """An address that gets no bulk emails: its person has unsubscribed, or has complained.

    A row stays when the address gets bulk emails again, with its history.
    """

    class Reason(models.TextChoices):
        UNSUBSCRIBED = "unsubscribed", _("unsubscribed")
        COMPLAINED = "complained", _("marked an email as spam")

    # The mailbox's key (`recipient_key`).
    recipient = models.CharField(_("address"), max_length=254, unique=True)
    reason = models.CharField(_("reason"), max_length=20, choices=Reason.choices)
    at = models.DateTimeField(_("when"), db_default=Now())
    # The email with which it was done.
    email = models.ForeignKey(
        Email, on_delete=models.SET_NULL, null=True, blank=True, verbose_name=_("email")
    )
    # When bulk emails were allowed again.
    lifted_at = models.DateTimeField(_("allowed again"), null=True, blank=True)

    objects = SuppressionQuerySet.as_manager()

    class Meta:
        verbose_name = _("address without bulk emails")
        verbose_name_plural = _("addresses without bulk emails")
        ordering = ["-id"]
        constraints = [
            models.CheckConstraint(
                condition=Q(reason__in=["unsubscribed", "complained"]),
                name="suppression_reason_is_known",
            )
        ]

    def __str__(self) -> str:
        return readable_address(self.recipient)

    def lift(self) -> None:
        """Allow bulk emails again. `notifications.suppressions` writes the history."""
        self.lifted_at = Now()
        self.save(update_fields=["lifted_at"])


class SuppressionChange(models.Model):
    """One line in the history of a mailbox: what stopped its bulk emails or allowed them again."""

    class What(models.TextChoices):
        UNSUBSCRIBED = "unsubscribed", _("unsubscribed")
        COMPLAINED = "complained", _("marked an email as spam")
        LIFTED = "lifted", _("allowed again")

    suppression = models.ForeignKey(
        Suppression,
        on_delete=models.CASCADE,
        related_name="changes",
        verbose_name=_("address without bulk emails"),
    )
    at = models.DateTimeField(_("when"), db_default=Now())
    what = models.CharField(_("what"), max_length=20, choices=What.choices)
    # "account:<id>" of a staff member; "" for the person, by a link or through the mail provider.
    actor = models.CharField(_("who"), max_length=60, blank=True)
    # Why, in the words of staff.
    note = models.CharField(_("reason"), max_length=200, blank=True)
    email = models.ForeignKey(
        Email, on_delete=models.SET_NULL, null=True, blank=True, verbose_name=_("email")
    )

    class Meta:
        verbose_name = _("change of an address without bulk emails")
        verbose_name_plural = _("changes of addresses without bulk emails")
        ordering = ["-id"]
        constraints = [
            models.CheckConstraint(
                condition=Q(what__in=["unsubscribed", "complained", "lifted"]),
                name="suppression_change_is_known",
            )
        ]

    def __str__(self) -> str:
        return self.get_what_display()


class EmailResend(models.Model):
    """One time that staff sent an email again: who, when, to which address, and what was before."""

    email = models.ForeignKey(
        Email, on_delete=models.CASCADE, related_name="resends", verbose_name=_("email")
    )
    at = models.DateTimeField(_("when"), db_default=Now())
    # "account:<id>" of the staff member, as in the history of guests.
    actor = models.CharField(_("who"), max_length=60)
    to = models.EmailField(_("to"))
    # The mailbox's key (`recipient_key`), by which resends are counted.
    recipient = models.CharField(max_length=254)
    # "" when the email was made by this press.
    from_state = models.CharField(_("from"), max_length=10, blank=True)
    from_to = models.EmailField(_("before"), blank=True)

    class Meta:
        verbose_name = _("email sent again")
        verbose_name_plural = _("emails sent again")
        ordering = ["-id"]
        indexes = [models.Index(fields=["recipient", "at"], name="email_resend_by_recipient")]

    def __str__(self) -> str:
        return f"{self.actor} → {self.to}"
