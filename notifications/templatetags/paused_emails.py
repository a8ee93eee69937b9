"""What pages say of emails that wait: staff have turned their kind off, or emergency mode is on."""

from django import template

from notifications.kinds import is_late

register = template.Library()


@register.simple_tag
def paused_emails(*kinds: str) -> bool:
    """Return whether emails of one of these kinds wait: no page may promise it for now."""
    return any(map(is_late, kinds))
