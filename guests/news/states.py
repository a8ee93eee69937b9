"""What an event was like at a time: what its holders knew then.

The history of events has each change, so what a holder knew follows from when they got their place.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Self
from unicodedata import category, normalize
from zoneinfo import ZoneInfo

from guests.models import Appointment, Event, EventChange

# The fields whose changes are news.
FIELDS = ("title", "venue", "address", "time_zone", "starts_at", "ends_at", "cancelled_at")
ACCENTS = frozenset(map(chr, range(0x300, 0x370)))
EARLIEST = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True)
class EventState:
    """An event at a time, as far as its holders are told of changes. Times are in its zone."""

    title: str
    appointment: Appointment
    ends_at: datetime
    is_cancelled: bool

    @classmethod
    def from_texts(cls, texts: Mapping[str, str]) -> Self:
        """Return the state from texts by field, as the history has them."""
        zone = ZoneInfo(texts["time_zone"])
        starts_at = _local_time(texts["starts_at"], zone)
        return cls(
            title=texts["title"],
            appointment=Appointment(starts_at, texts["venue"], texts["address"]),
            ends_at=_local_time(texts["ends_at"], zone),
            is_cancelled=texts["cancelled_at"] != "",
        )

    def is_renamed_from(self, other: "EventState") -> bool:
        """Return whether the titles differ in more than capitals, accents, spaces and signs."""
        return _letters(self.title) != _letters(other.title)

    def is_moved_from(self, other: "EventState") -> bool:
        return not self.appointment.reads_like(other.appointment)

    def has_other_end_than(self, other: "EventState") -> bool:
        return self.ends_at.isoformat() != other.ends_at.isoformat()

    def says_the_same_as(self, other: "EventState") -> bool:
        """Return whether somebody who knows the other state has nothing new to learn."""
        if self.is_cancelled or other.is_cancelled:
            return self.is_cancelled == other.is_cancelled
        has_changed = self.is_renamed_from(other) or self.is_moved_from(other)
        return not has_changed and not self.has_other_end_than(other)


def _local_time(text: str, zone: ZoneInfo) -> datetime:
    """Return a time to the minute: nobody is told of a change of seconds."""
    return datetime.fromisoformat(text).astimezone(zone).replace(second=0, microsecond=0)


def _letters(text: str) -> str:
    """Return what tells two titles apart: letters and digits, without capitals and accents."""
    letters = []
    for character in normalize("NFKD", text.casefold()):
        # Marks of other scripts are vowels.
        is_mark = category(character).startswith("M") and character not in ACCENTS
        if character.isalnum() or is_mark:
            letters.append(character)
    return "".join(letters) or text


def texts_of(event: Event) -> dict[str, str]:
    """Return the fields of an event as texts, like those in its history."""
    cancelled_at = ""
    if event.cancelled_at:
        cancelled_at = event.cancelled_at.isoformat()
    return {
        "title": event.title,
        "venue": event.venue,
        "address": event.address,
        "time_zone": event.time_zone,
        "starts_at": event.starts_at.isoformat(),
        "ends_at": event.ends_at.isoformat(),
        "cancelled_at": cancelled_at,
    }


class EventHistory:
    """The states of an event: the present one, and the earlier ones with the time of their end."""

    def __init__(self, event: Event, changes: Iterable[EventChange]) -> None:
        """Undo the changes one by one. They are of this event, the latest first."""
        texts = texts_of(event)
        self.present = EventState.from_texts(texts)
        self._earlier: list[tuple[datetime, EventState]] = []
        for change in changes:
            texts[change.field] = change.from_value
            self._earlier.append((change.at, EventState.from_texts(texts)))

    def state_at(self, time: datetime) -> EventState:
        known = self.present
        for ended_at, state in self._earlier:
            if ended_at <= time:
                break
            known = state
        return known

    def outdated_periods(self) -> list[tuple[datetime, datetime]]:
        """Return from when and until when the event was in another state than at present."""
        periods = []
        ends = [*(ended_at for ended_at, _state in self._earlier), EARLIEST]
        for number, (ended_at, state) in enumerate(self._earlier, start=1):
            if not state.says_the_same_as(self.present):
                periods.append((ends[number], ended_at))
        return periods


def read_changes(event_ids: Iterable[int]) -> dict[int, list[EventChange]]:
    """Return the changes of events that can be news by event, the latest first. One query.

    Read the events afterwards: a change that is committed between both is in the event then.
    """
    changes: dict[int, list[EventChange]] = defaultdict(list)
    rows = EventChange.objects.filter(event__in=list(event_ids), field__in=FIELDS)
    for change in rows.order_by("-pk"):
        changes[change.event_id].append(change)
    return changes
