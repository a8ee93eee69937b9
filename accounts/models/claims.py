"""Claims on the phone of an account."""

from typing import Any, Self

from django.db import models
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from accounts.models.users import User
from accounts.names import MAX_NAME_LENGTH, NameField
from snap.text_fields import EmailAddressField


class ClaimQuerySet(models.QuerySet["Claim"]):
    def undecided(self) -> Self:
        """Return claims that are neither granted nor refused, with or without an objection."""
        return self.filter(state__in=[Claim.State.OPEN, Claim.State.OBJECTED])


class Claim(models.Model):
    """A statement that an account's phone belongs to another person.

    The account changes only when the claim is granted: by staff, by a code sent to the phone, or
    after CLAIM_ANSWER_SECONDS. Claims are kept, and a granted claim can be undone.
    """

    class State(models.TextChoices):
        OPEN = "open", _("open")
        OBJECTED = "objected", _("the holder objects")
        GRANTED = "granted", _("granted")
        REFUSED = "refused", _("refused")
        UNDONE = "undone", _("undone")

    account = models.ForeignKey(
        User, on_delete=models.CASCADE, related_name="claims", verbose_name=_("account")
    )
    # A slug and no foreign key, because this app does not import the app of events.
    event_slug = models.CharField(_("event"), max_length=60, blank=True, db_default="")
    first_name = NameField(_("first name"), max_length=MAX_NAME_LENGTH)
    last_name = NameField(_("last name"), max_length=MAX_NAME_LENGTH, blank=True)
    email = EmailAddressField(_("email"), max_length=254)
    language = models.CharField(_("language"), max_length=8)
    # The claimant's browser, and the network that it came from.
    browser = models.CharField(max_length=32, blank=True, db_default="", editable=False)
    network_hash = models.CharField(max_length=32, blank=True, db_default="", editable=False)
    # The database default is for rows from before migration 0003, when claims had no decisions.
    state = models.CharField(
        _("state"), max_length=10, choices=State, default=State.OPEN, db_default="refused"
    )
    # Whether an email notified the holder. Without one, a missing answer has no consequence.
    is_announced = models.BooleanField(_("holder told"), default=False, db_default=False)
    created_at = models.DateTimeField(_("created at"), db_default=Now(), editable=False)
    decided_at = models.DateTimeField(_("decided at"), null=True, blank=True)
    # "account:<id>" of staff, "holder", "phone", "time", or "claim:<id>" of another granted claim.
    decided_by = models.CharField(_("decided by"), max_length=60, blank=True, db_default="")
    # What was changed when the claim was granted (guests.claims), so that it can be undone.
    taken = models.JSONField(null=True, editable=False)

    objects = ClaimQuerySet.as_manager()

    class Meta:
        verbose_name = _("claim")
        verbose_name_plural = _("claims")
        constraints = [
            models.UniqueConstraint(
                fields=["account", "browser"],
                condition=models.Q(state__in=["open", "objected"]),
                name="accounts_one_claim_per_browser",
            ),
            models.CheckConstraint(
                condition=models.Q(state__in=["open", "objected", "granted", "refused", "undone"]),
                name="accounts_claim_state_is_known",
            ),
            models.CheckConstraint(
                condition=~models.Q(state__in=["granted", "undone"])
                | models.Q(taken__isnull=False, decided_at__isnull=False),
                name="accounts_granted_claim_can_be_undone",
            ),
        ]
        indexes = [
            models.Index(
                fields=["created_at"],
                condition=models.Q(state="open"),
                name="accounts_open_claims",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.name} · #{self.pk}"

    @property
    def name(self) -> str:
        return f"{self.first_name} {self.last_name}".strip()

    @property
    def is_undecided(self) -> bool:
        return self.state in {self.State.OPEN, self.State.OBJECTED}

    def move_to(self, state: str, *, actor: str, **changes: Any) -> None:
        """Change the state and other fields, and add a line to the history.

        The caller has read the claim under its account's row lock.
        """
        ClaimChange.objects.create(claim=self, from_state=self.state, to_state=state, actor=actor)
        changes["state"] = state
        for field, value in changes.items():
            setattr(self, field, value)
        self.save(update_fields=list(changes))


class ClaimChange(models.Model):
    """One line of a claim's history: a change of its state."""

    claim = models.ForeignKey(Claim, on_delete=models.CASCADE, related_name="changes")
    at = models.DateTimeField(_("when"), db_default=Now())
    from_state = models.CharField(_("from"), max_length=10, blank=True)
    to_state = models.CharField(_("to"), max_length=10)
    actor = models.CharField(_("who"), max_length=60)

    class Meta:
        verbose_name = _("state change")
        verbose_name_plural = _("history")
        ordering = ["-id"]

    def __str__(self) -> str:
        return f"{self.from_state or '–'} → {self.to_state}"
