"""Messages that staff write to everyone on a list, or to a part of it."""

from collections.abc import Iterable
from typing import Any

from django.conf import settings
from django.db import models
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from guests.models.events import Event
from guests.models.guests import Guest
from guests.models.promoters import Promoter, Team
from notifications.models import Email
from snap.text_fields import LineField, LinesField


class ListMessage(models.Model):
    """A message to the guests of one event: its texts, whom it is for, and how far it has got.

    The guests are fixed when a staff member confirms it: a ListMessageRecipient for each. Then
    their emails are queued in the order of the guests' ids, and `last_guest` is the last one
    handled. Once confirmed, texts and filter stay as they are: a trigger (migration 0013) refuses
    to change or delete them.
    """

    class State(models.TextChoices):
        DRAFT = "draft", _("draft")
        SENDING = "sending", _("being sent")
        STOPPED = "stopped", _("stopped")
        DONE = "done", _("sent to all")

    class Place(models.TextChoices):
        ANY = "", _("on the list or waiting")
        ON_LIST = "on_list", _("on the list")
        WAITING = "waiting", _("on the waiting list")

    class Arrival(models.TextChoices):
        ANY = "", _("whether they have arrived or not")
        ARRIVED = "arrived", _("have arrived")
        NOT_ARRIVED = "not_arrived", _("have not arrived yet")

    class Origin(models.TextChoices):
        ANY = "", _("however they got on the list")
        BY_HAND = "by_hand", _("were added by hand")
        BY_LINK = "by_link", _("asked for a place themselves")

    event = models.ForeignKey(Event, on_delete=models.CASCADE, verbose_name=_("event"))
    author = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+", verbose_name=_("who")
    )
    # The filter. Empty: no condition.
    place = models.CharField(
        _("place"), max_length=10, choices=Place, default=Place.ON_LIST, blank=True
    )
    arrival = models.CharField(
        _("arrival"), max_length=12, choices=Arrival, default=Arrival.ANY, blank=True
    )
    origin = models.CharField(
        _("origin"), max_length=10, choices=Origin, default=Origin.ANY, blank=True
    )
    promoter = models.ForeignKey(
        Promoter,
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        related_name="+",
        verbose_name=_("promoter"),
    )
    team = models.ForeignKey(
        Team,
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        related_name="+",
        verbose_name=_("team"),
    )
    subject_pt = LineField(_("subject in Portuguese"), max_length=120, blank=True)
    text_pt = LinesField(_("text in Portuguese"), max_length=5000, blank=True)
    subject_en = LineField(_("subject in English"), max_length=120, blank=True)
    text_en = LinesField(_("text in English"), max_length=5000, blank=True)
    state = models.CharField(_("state"), max_length=10, choices=State, default=State.DRAFT)
    created_at = models.DateTimeField(_("created at"), db_default=Now(), editable=False)
    confirmed_at = models.DateTimeField(_("confirmed at"), null=True, editable=False)
    finished_at = models.DateTimeField(_("finished at"), null=True, editable=False)
    # How many guests it is for; of these, how many emails are queued, and how many had no address.
    recipients = models.PositiveIntegerField(_("guests"), default=0, editable=False)
    queued = models.PositiveIntegerField(default=0, editable=False)
    without_email = models.PositiveIntegerField(default=0, editable=False)
    last_guest = models.BigIntegerField(default=0, editable=False)

    class Meta:
        verbose_name = _("message to a list")
        verbose_name_plural = _("messages to lists")
        ordering = ["-id"]
        default_permissions = ("view",)
        permissions = [("send_list_message", "Can send messages to lists")]
        constraints = [
            models.CheckConstraint(
                condition=models.Q(state__in=["draft", "sending", "stopped", "done"]),
                name="guests_message_state_is_known",
            )
        ]
        indexes = [
            models.Index(
                fields=["id"],
                condition=models.Q(state="sending"),
                name="guests_message_being_sent",
            )
        ]

    def __str__(self) -> str:
        return self.subject_pt or self.subject_en

    @property
    def is_draft(self) -> bool:
        return self.state == self.State.DRAFT

    @property
    def handled(self) -> int:
        """The number of recipients whose email is queued, or who have no address."""
        return self.queued + self.without_email

    def languages(self) -> list[str]:
        """Return the languages in which the message is written, as codes of LANGUAGES."""
        texts = {"pt-pt": self.text_pt, "en": self.text_en}
        return [code for code, text in texts.items() if text]

    def language_for(self, language: str) -> str:
        """Return the language in which a person gets it: theirs, or the only one there is."""
        written = self.languages()
        if language in written:
            return language
        return written[0]

    def texts_in(self, language: str) -> tuple[str, str]:
        """Return subject and text in a language, or in the only one there is."""
        if self.language_for(language) == "en":
            return self.subject_en, self.text_en
        return self.subject_pt, self.text_pt


class ListMessageRecipient(models.Model):
    """A guest for whom a message was meant when it was confirmed, and their email once queued."""

    message = models.ForeignKey(ListMessage, on_delete=models.CASCADE)
    guest = models.ForeignKey(Guest, on_delete=models.CASCADE)
    # Without a constraint: its creation would lock the table of emails.
    email = models.ForeignKey(
        Email, on_delete=models.SET_NULL, null=True, db_constraint=False, related_name="+"
    )

    class Meta:
        verbose_name = _("recipient of a message")
        verbose_name_plural = _("recipients of messages")
        constraints = [
            models.UniqueConstraint(
                fields=["message", "guest"], name="guests_message_once_a_guest"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.message_id} → {self.guest_id}"


def list_message_causes(guests: Iterable[Guest]) -> list[str]:
    """Return the causes of the emails of all messages that were meant for guests. One query."""
    accounts = {guest.pk: guest.account_id for guest in guests}
    recipients = ListMessageRecipient.objects.filter(guest__in=accounts).order_by()
    causes = []
    for message_id, guest_id in recipients.values_list("message_id", "guest_id"):
        causes.append(f"list_message:{message_id}/{accounts[guest_id]}")
    return causes


class ListMessageChange(models.Model):
    """One change of state of a message: who, when, from and to.

    A database trigger (migration 0013) writes these rows. Another one refuses to change them.
    """

    message = models.ForeignKey(
        ListMessage, on_delete=models.DO_NOTHING, db_constraint=False, verbose_name=_("message")
    )
    at = models.DateTimeField(_("when"), db_default=Now())
    from_state = models.CharField(_("from"), max_length=10, blank=True)
    to_state = models.CharField(_("to"), max_length=10)
    # As in StateChange.
    actor = models.CharField(_("who"), max_length=60)

    class Meta:
        verbose_name = _("change of a message")
        verbose_name_plural = _("changes of messages")
        ordering = ["-id"]

    def __str__(self) -> str:
        return f"{self.from_state or '–'} → {self.to_state}"

    def save(self, *args: Any, **kwargs: Any) -> None:
        raise TypeError("The history is written by the database.")
