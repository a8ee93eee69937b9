"""What admin's pages of people say about a disposable email."""

from django import template

from accounts.disposable import is_disposable

register = template.Library()


@register.inclusion_tag("admin/accounts/user/disposable_note.html")
def disposable_note(email: str) -> dict[str, bool]:
    """Render a line if an address is disposable. No query."""
    return {"is_disposable": is_disposable(email)}
