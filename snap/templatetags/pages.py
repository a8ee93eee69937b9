"""Template tags for addresses of pages, which every template has without `{% load %}`."""

from django import template

from snap import pages

register = template.Library()


@register.simple_tag
def page_path(name: str, *args: object) -> str:
    """Return the path of a page that an app has registered. Raises KeyError for any other page."""
    return pages.page_path(name, *args)


register.simple_tag(pages.privacy_url)
