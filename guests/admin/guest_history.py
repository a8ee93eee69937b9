"""The history of one guest: changes of state, and what staff did by hand, newest first."""

from django.utils.safestring import SafeString

from guests.admin.base import HISTORY_STATES
from guests.models import Guest, StaffAction, StateChange
from snap.admin_output import EMPTY, MAX_SHOWN, actor_names, render_lines, render_time


def render_guest_history(guest: Guest) -> SafeString:
    """Return the history as lines. Three queries."""
    labels = {**HISTORY_STATES, **dict(Guest.State.choices)}
    changes = list(StateChange.objects.filter(guest=guest)[:MAX_SHOWN])
    actions = list(StaffAction.objects.filter(guest=guest).select_related("account")[:MAX_SHOWN])
    names = actor_names(change.actor for change in changes)
    lines = []
    for change in changes:
        before = labels.get(change.from_state, EMPTY)
        after = labels.get(change.to_state, EMPTY)
        lines.append((change.at, f"{before} → {after}", names[change.actor]))
    for action in actions:
        text = f"{action.get_kind_display()}: {action.detail}".rstrip(": ")
        lines.append((action.at, text, str(action.account)))
    lines.sort(key=lambda line: line[0], reverse=True)
    rows = [(render_time(at), text, actor) for at, text, actor in lines]
    return render_lines("{} · {} · {}", rows)
