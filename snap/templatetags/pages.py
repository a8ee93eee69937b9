"""Addresses of pages, in every template without `{% load %}`: `{% page_path %}`, `full_url`."""

from django import template
from django.conf import settings

from snap import pages

register = template.Library()


@register.filter
def full_url(path: str) -> str:
    """Return the full address of a path, on PUBLIC_URL."""
    if path.startswith("/"):
        return f"{settings.PUBLIC_URL}{path}"
    return path


@register.simple_tag
def page_path(name: str, *args: object) -> str:
    """Return the path of a page that an app has registered. Raises KeyError for any other page."""
    return pages.page_path(name, *args)


register.simple_tag(pages.privacy_url)
