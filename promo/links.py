"""What a promo link leads to: an event, and whom its guests are attributed to."""

from copy import copy
from dataclasses import dataclass, field, replace
from datetime import timedelta
from time import monotonic

from django.conf import settings
from django.http import Http404
from django.urls import reverse

from guests.exceptions import GuestError
from guests.models import Event, Promoter, Team
from guests.requests.accepting import find_promoter
from promo.steps import Step
from snap.local_cache import LocalCache


@dataclass(frozen=True)
class PromoLink:
    event: Event
    promoter: Promoter | None
    team: Team | None
    # Drawn of it for whoever is not signed in, by language and state; forgotten with the link.
    pages: dict[tuple[str, str, int], str] = field(default_factory=dict, compare=False)
    # The addresses of its steps; a template writes one several times.
    urls: dict[str, str] = field(default_factory=dict, compare=False)

    @property
    def code(self) -> str:
        return self.promoter.code if self.promoter else ""

    @property
    def url(self) -> str:
        args = [self.event.slug, self.code] if self.code else [self.event.slug]
        return reverse("promo:event", args=args)

    def step_url(self, step: str) -> str:
        if step not in self.urls:
            self.urls[step] = reverse(f"promo:{step}", args=[self.event.slug, self.code])
        return self.urls[step]

    def claim_made_url(self, claim_id: int) -> str:
        return reverse("promo:claim_made", args=[self.event.slug, self.code, claim_id])


def _add_address_of(step: Step) -> None:
    """Give links the property by which templates write a step's address, such as `code_url`."""
    setattr(PromoLink, f"{step}_url", property(lambda link: link.step_url(step)))


for _step in Step:
    _add_address_of(_step)


# Links that were opened lately, by event and promoter code, with the monotonic time of the query.
# In a rush thousands of requests a minute open the same link.
_opened: LocalCache[tuple[str, str], tuple[float, PromoLink]] = LocalCache(
    size=1000, seconds=lambda: settings.LINK_SECONDS
)


def open_link(event_slug: str, promoter_code: str) -> PromoLink:
    """Return what a link leads to, at most LINK_SECONDS old, with its clock moved on to now.

    Raises Http404 for unknown events and promoters not at one. One query, two with a promoter, none
    for a link that was opened lately.
    """
    key = (event_slug, promoter_code)
    now = monotonic()
    cached = _opened.get(key)
    if cached is None:
        cached = (now, _look_up(event_slug, promoter_code))
        _opened.set(key, cached)
    opened_at, link = cached
    event = copy(link.event)
    event.read_at = event.database_now + timedelta(seconds=now - opened_at)
    return replace(link, event=event)


def _look_up(event_slug: str, promoter_code: str) -> PromoLink:
    event = Event.objects.published().at_database_time().filter(slug=event_slug).first()
    if event is None:
        raise Http404("no such event")
    try:
        promoter, team = find_promoter(event, code=promoter_code)
    except GuestError as error:
        raise Http404("no such promoter at this event") from error
    return PromoLink(event, promoter, team)
