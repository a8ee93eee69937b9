"""The tags of a link preview in the head of a page."""

from django import template

from promo.links import PromoLink
from promo.previews import LinkPreview, preview_of

register = template.Library()


@register.simple_tag
def link_preview(link: PromoLink) -> LinkPreview:
    """Return what a promo link says of itself to chat apps and search engines."""
    return preview_of(link)
