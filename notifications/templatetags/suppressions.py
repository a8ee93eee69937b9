"""What admin's pages of people say about their bulk emails."""

from django import template

from notifications.models import Suppression
from notifications.recipients import recipient_key

register = template.Library()


@register.inclusion_tag("admin/notifications/suppression/note.html")
def bulk_emails_note(email: str) -> dict[str, object]:
    """Render a line if an address gets no bulk emails. One query."""
    stopped = None
    if email:
        stopped = Suppression.objects.active().filter(recipient=recipient_key(email)).first()
    return {"stopped": stopped}
