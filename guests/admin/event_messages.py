"""Messages to lists as texts for staff: whom they are for, and those of one event."""

from django.utils.safestring import SafeString
from django.utils.translation import gettext, ngettext

from guests.lists.messages import messages_of
from guests.models import Event, ListMessage
from snap.admin_output import EMPTY, MAX_SHOWN, link_to, render_lines, render_time


def filter_in_words(message: ListMessage) -> str:
    """Return whom a message is for: `on the list · have not arrived yet · Rita`."""
    parts = [message.get_place_display()]
    if message.arrival:
        parts.append(message.get_arrival_display())
    if message.origin:
        parts.append(message.get_origin_display())
    if message.promoter:
        parts.append(gettext("promoter %(name)s") % {"name": message.promoter})
    if message.team:
        parts.append(gettext("team %(name)s") % {"name": message.team})
    return " · ".join(str(part) for part in parts)


def number_of_guests(number: int) -> str:
    return ngettext("%(n)d guest", "%(n)d guests", number) % {"n": number}


def render_messages(event: Event) -> SafeString | str:
    """Return the messages to an event's list as lines, the latest first. One query."""
    rows = []
    for message in messages_of(event)[:MAX_SHOWN]:
        assert message.confirmed_at is not None
        rows.append(
            (
                render_time(message.confirmed_at),
                message.author,
                link_to("guests_listmessage_change", message, pk=message.pk),
                filter_in_words(message),
                number_of_guests(message.recipients),
                message.get_state_display(),
            )
        )
    return render_lines("{} · {} · {} · {} · {} · {}", rows) or EMPTY
