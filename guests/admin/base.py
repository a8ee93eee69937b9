"""Functions that the admin pages of guest lists and claims share."""

from collections.abc import Iterable, Mapping
from typing import Any

from django.db.models import Count, IntegerField, QuerySet, Subquery, TextChoices
from django.db.models.functions import Coalesce
from django.http import HttpRequest
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _

from accounts.models import ClaimChange, User
from guests.models import StateChange
from snap.admin_output import EMPTY, actor_names, render_lines, render_time

NO_NAMES: Mapping[str, str] = {}
# The history of a guest has these beside the states (migrations 0002 and 0009).
HISTORY_STATES = {
    "checked_in": _("arrived"),
    "leaving": _("is giving the place back"),
    "given_back": _("gave the place back"),
}


def render_phone_end(phone: str | None) -> str:
    """Return the last digits of a phone, by which staff tell people apart, and find them."""
    if not phone:
        return EMPTY
    return f"… {phone[-4:]}"


def acting_user(request: HttpRequest) -> User:
    assert isinstance(request.user, User)
    return request.user


def render_history(
    changes: Iterable[StateChange | ClaimChange],
    states: type[TextChoices],
    *,
    more_names: Mapping[str, str] = NO_NAMES,
) -> SafeString:
    """Return a history as lines, in its order, with the names of the actors. Two queries.

    `more_names` has names for actors that are not staff.
    """
    lines = list(changes)
    labels = {**HISTORY_STATES, **dict(states.choices)}
    names = {**actor_names(line.actor for line in lines), **more_names}
    rows = []
    for line in lines:
        from_label = labels.get(line.from_state, line.from_state) or EMPTY
        to_label = labels.get(line.to_state, line.to_state)
        rows.append((render_time(line.at), from_label, to_label, names[line.actor]))
    return render_lines("{} · {} → {} · {}", rows)


def count_related(related: QuerySet[Any], key: str) -> Coalesce:
    """Return an annotation: the number of related rows, by their foreign key `key`."""
    rows = related.order_by().values(key).annotate(size=Count("pk")).values("size")
    return Coalesce(Subquery(rows, output_field=IntegerField()), 0)
