"""What pages say of emails while staff have turned their kinds off."""

from django import template

from notifications.kinds import is_paused

register = template.Library()


@register.simple_tag
def paused_emails(*kinds: str) -> bool:
    """Return whether one of these kinds is turned off: no page may promise it for now."""
    return any(map(is_paused, kinds))
