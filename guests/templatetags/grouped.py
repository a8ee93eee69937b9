"""The template filter that writes a number for people: `12 345`."""

from django import template
from django.utils.formats import number_format

register = template.Library()


@register.filter
def grouped(size: int | str | None) -> str:
    """Return a number with its thousands apart, as the language writes it; "0" for none."""
    return number_format(size or 0, force_grouping=True)
