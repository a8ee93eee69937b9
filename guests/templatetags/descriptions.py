"""Descriptions of events as HTML: paragraphs, line breaks, and addresses that can be tapped."""

import re
import unicodedata
from urllib.parse import urlsplit, urlunsplit

import idna
from django import template
from django.utils.html import escape, format_html, linebreaks
from django.utils.safestring import SafeString, mark_safe

register = template.Library()

# An address as people paste or type it: with its scheme, with www, or a domain with a path, as in
# `instagram.com/snap`. Marks of direction, quotes and angle brackets end it.
START = r"\b(?:https?://|www\.)|(?<![\w@.:/-])(?:[a-z0-9-]+\.)+[a-z]{2,6}/"
REST = r"[^\s<>\"“”«»\u200b-\u200f\u202a-\u202e\u2060-\u2069]+"
ADDRESS = re.compile(f"(?:{START}){REST}", re.IGNORECASE)
# Signs that belong to the sentence when an address ends with them.
PUNCTUATION = ".,;:!?…'’*_~"
BRACKETS = {")": "(", "]": "[", "}": "{"}
# The site is not ours, its page gets no access to ours, and search engines know whose text it is.
REL = "noopener nofollow ugc"


@register.filter(name="description")
def render_description(text: str) -> SafeString:
    """Return the HTML of a text that staff wrote: nothing in it is markup but our own links."""
    parts = []
    end = 0
    for match in ADDRESS.finditer(text):
        address = without_punctuation(match[0])
        parts.append(escape(text[end : match.start()]))
        parts.append(link_to(address))
        end = match.start() + len(address)
    parts.append(escape(text[end:]))
    # Every part is escaped above.
    return mark_safe(linebreaks("".join(parts)))  # noqa: S308  # nosec B308 B703


def without_punctuation(address: str) -> str:
    """Return an address without the punctuation and the closing brackets of its sentence."""
    while address:
        last = address[-1]
        opening = BRACKETS.get(last)
        is_unbalanced = opening is not None and address.count(opening) < address.count(last)
        if last not in PUNCTUATION and not is_unbalanced:
            break
        address = address[:-1]
    return address


def link_to(address: str) -> SafeString:
    """Return a link to an address, or the address as text when a link could mislead."""
    url = address if "://" in address else f"https://{address}"
    try:
        parts = urlsplit(url)
        host = encode_host(parts.hostname or "")
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        return escape(address)
    # What stands before an @ looks like the host and is none.
    if "@" in parts.netloc or "." not in host:
        return escape(address)
    href = urlunsplit(parts._replace(scheme=parts.scheme.lower(), netloc=host + port))
    shown = address if is_plain(parts.hostname or "") else href
    return format_html('<a href="{}" rel="{}">{}</a>', href, REL, shown)


def encode_host(host: str) -> str:
    """Return a host as it is looked up (IDNA 2008). Raises ValueError for one that cannot be."""
    if host.isascii():
        return host
    return idna.encode(host, uts46=True).decode()


def is_plain(host: str) -> bool:
    """Return whether a host has no letter but those of Western European languages.

    Letters of other scripts can look like them, so such a host is shown as it is looked up.
    """
    letters = unicodedata.normalize("NFD", host)
    return all(c.isascii() or unicodedata.combining(c) for c in letters)
