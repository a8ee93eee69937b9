"""What the holders of places were told about changes of an event."""

from django.db import models
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from guests.models.events import Event


class EventNews(models.Model):
    """One time that holders were told by email that an event has changed.

    The emails have the cause `event_change:<event id>/<sequence>/<guest id>`.
    """

    event = models.ForeignKey(Event, on_delete=models.CASCADE, verbose_name=_("event"))
    # The revision of the event that the emails tell.
    sequence = models.PositiveIntegerField(_("revision"))
    # The event as it was then, as texts (`guests.news.states.EventState`).
    state = models.JSONField(_("state"))
    emails = models.PositiveIntegerField(_("emails"))
    at = models.DateTimeField(_("when"), db_default=Now())

    class Meta:
        verbose_name = _("news of an event")
        verbose_name_plural = _("news of events")
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(fields=["event", "sequence"], name="guests_news_once"),
        ]

    def __str__(self) -> str:
        return f"{self.event_id}/{self.sequence}"
