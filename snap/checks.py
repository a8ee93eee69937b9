"""System checks. Django runs them for `manage.py check` and before most other commands."""

from collections.abc import Sequence
from typing import Any

from django.core.checks import CheckMessage, Error, register
from django.urls import get_resolver

from snap.limits.policy import undeclared

HINT = "Add @limited(read=…, write=…) or @unlimited(reason) from snap.limits.policy to its view."


def missing_policies(patterns: Sequence[Any]) -> list[CheckMessage]:
    """Return an error for each route, HTTP or websocket, that has no limits policy."""
    return [
        Error(f"{path!r} has no limits policy.", hint=HINT, id="snap.E001")
        for path in undeclared(patterns)
    ]


@register("limits")
def check_policies(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """Report each HTTP route that has no limits policy."""
    return missing_policies(get_resolver().url_patterns)
