"""What the holders of places were told about changes of an event."""

from collections.abc import Iterable

from django.db import models
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from guests.models.events import Event
from guests.models.guests import Guest

# The kinds of email that tell of changes of an event.
NEWS_KINDS = ("event_changed", "event_cancelled")


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


def news_cause(event_id: int, sequence: int, guest_id: int | str) -> str:
    """Return the cause of the email that tells a guest of a change."""
    return f"event_change:{event_id}/{sequence}/{guest_id}"


def news_causes(guests: Iterable[Guest]) -> list[str]:
    """Return the causes of all emails that told guests of changes. One query."""
    sequences: dict[int, list[int]] = {}
    given = list(guests)
    news = EventNews.objects.filter(event__in=[guest.event_id for guest in given])
    for event_id, sequence in news.order_by("pk").values_list("event", "sequence"):
        sequences.setdefault(event_id, []).append(sequence)
    causes = []
    for guest in given:
        for sequence in sequences.get(guest.event_id, []):
            causes.append(news_cause(guest.event_id, sequence, guest.pk))
    return causes
