"""What a link to an event says of itself to chat apps and search engines."""

import json
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.urls import reverse
from django.utils.safestring import SafeString, mark_safe
from django.utils.text import Truncator
from django.utils.translation import gettext

from guests.models import Event
from guests.previews import HEIGHT, WIDTH, preview_name, preview_text
from promo.links import PromoLink

# Characters that could end a script element, as escapes of JSON.
IN_SCRIPT = str.maketrans({"<": "\\u003c", ">": "\\u003e", "&": "\\u0026"})
DESCRIPTION_LENGTH = 200


@dataclass(frozen=True)
class LinkPreview:
    """The values of the tags in the page's head. Addresses are full ones, on PUBLIC_URL."""

    title: str
    description: str
    url: str  # With the promoter: what is shared again still counts for them.
    canonical_url: str  # Without the promoter: for search engines all links are one page.
    image_url: str
    json_ld: SafeString
    image_width: int = WIDTH
    image_height: int = HEIGHT


def preview_of(link: PromoLink) -> LinkPreview:
    """Return the preview of a promo link in the current language. No query."""
    event = link.event
    text = preview_text(event)
    title = text.title
    if text.cancelled:
        title = f"{text.cancelled}: {text.title}"
    canonical_url = _absolute(reverse("promo:event", args=[event.slug]))
    image_url = _absolute(reverse("guests:preview", args=[preview_name(event)]))
    description = _describe(link, text.when, text.where)
    return LinkPreview(
        title=title,
        description=description,
        url=_absolute(link.url),
        canonical_url=canonical_url,
        image_url=image_url,
        json_ld=_json_ld(event, description, canonical_url, image_url),
    )


def _describe(link: PromoLink, when: str, where: str) -> str:
    parts = [f"{when} · {where}."]
    phase = link.event.phase()
    if phase is Event.Phase.CANCELLED:
        parts.insert(0, gettext("This event was cancelled."))
    elif phase is Event.Phase.OVER:
        parts.insert(0, gettext("This event is over."))
    elif link.promoter:
        parts.append(gettext("%(name)s invites you.") % {"name": link.promoter.name})
    parts.append(link.event.description)
    words = " ".join(" ".join(parts).split())
    return Truncator(words).chars(DESCRIPTION_LENGTH)


def _json_ld(event: Event, description: str, url: str, image_url: str) -> SafeString:
    """Return the event as schema.org describes events, as JSON that is safe in a script element."""
    status = "EventScheduled"
    if event.cancelled_at:
        status = "EventCancelled"
    data: dict[str, Any] = {
        "@context": "https://schema.org",
        "@type": "Event",
        "name": event.title,
        "description": description,
        "startDate": event.local_start.isoformat(),
        "endDate": event.local_end.isoformat(),
        "eventStatus": f"https://schema.org/{status}",
        "eventAttendanceMode": "https://schema.org/OfflineEventAttendanceMode",
        "location": {
            "@type": "Place",
            "name": event.venue,
            "address": event.address or event.venue,
        },
        "image": [image_url],
        "url": url,
    }
    text = json.dumps(data, ensure_ascii=False).translate(IN_SCRIPT)
    return mark_safe(text)  # noqa: S308  # nosec B308 B703


def _absolute(path: str) -> str:
    return f"{settings.PUBLIC_URL}{path}"
