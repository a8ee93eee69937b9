"""Promo links: the event that a link opens, and the promoter and team its guests belong to."""

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
    # The monotonic time of the query, for a link that is cached.
    loaded_at: float | None = field(default=None, compare=False)
    # The URLs of the steps. Templates use each several times.
    step_urls: dict[str, str] = field(default_factory=dict, compare=False)

    @property
    def code(self) -> str:
        if self.promoter is None:
            return ""
        return self.promoter.code

    @property
    def url(self) -> str:
        args = [self.event.slug]
        if self.code:
            args.append(self.code)
        return reverse("promo:event", args=args)

    def step_url(self, step: str) -> str:
        if step not in self.step_urls:
            self.step_urls[step] = reverse(f"promo:{step}", args=[self.event.slug, self.code])
        return self.step_urls[step]

    # Templates cannot pass arguments, so each step has a property for them.

    @property
    def phone_url(self) -> str:
        return self.step_url(Step.PHONE)

    @property
    def code_url(self) -> str:
        return self.step_url(Step.CODE)

    @property
    def register_url(self) -> str:
        return self.step_url(Step.REGISTER)

    @property
    def claim_url(self) -> str:
        return self.step_url(Step.CLAIM)

    @property
    def prove_url(self) -> str:
        return self.step_url(Step.PROVE)

    @property
    def email_url(self) -> str:
        return self.step_url(Step.EMAIL)

    @property
    def request_url(self) -> str:
        return self.step_url(Step.REQUEST)

    def claim_made_url(self, claim_id: int) -> str:
        return reverse("promo:claim_made", args=[self.event.slug, self.code, claim_id])


# Links are cached per process by event and promoter code: during a rush thousands of requests a
# minute open the same link.
_cached_links: LocalCache[tuple[str, str], PromoLink] = LocalCache(
    size=1000, seconds=lambda: settings.LINK_SECONDS
)


def open_link(event_slug: str, promoter_code: str) -> PromoLink:
    """Return the link to an event, with "" or with the code of a promoter.

    The event is at most LINK_SECONDS old, with `database_now` advanced to the present. Creating a
    guest always re-reads the event under its row lock. One query, two with a promoter, none for a
    cached link. Raises Http404 for an unknown event, and for a promoter who is not at the event.
    """
    key = (event_slug, promoter_code)
    now = monotonic()
    link = _cached_links.get(key)
    if link is None:
        link = _load_link(event_slug, promoter_code, now)
        _cached_links.set(key, link)
    assert link.loaded_at is not None
    event = copy(link.event)
    event.database_now += timedelta(seconds=now - link.loaded_at)
    return replace(link, event=event)


def _load_link(event_slug: str, promoter_code: str, now: float) -> PromoLink:
    event = Event.objects.published().with_database_time().filter(slug=event_slug).first()
    if event is None:
        raise Http404("no such event")
    try:
        promoter, team = find_promoter(event, code=promoter_code)
    except GuestError as error:
        raise Http404("no such promoter at this event") from error
    return PromoLink(event, promoter, team, loaded_at=now)
