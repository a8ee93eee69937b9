"""Promo links: the event that a link opens, and the promoter and team its guests belong to."""

import logging
from copy import copy
from dataclasses import dataclass, field, replace
from datetime import timedelta
from time import monotonic

from django.conf import settings
from django.http import Http404
from django.urls import reverse

from guests.exceptions import GuestError
from guests.models import Event, EventPromoter, Promoter, Team
from guests.requests.accepting import find_promoter
from promo.steps import Step
from snap.local_cache import LocalCache
from snap.observability.cache_metrics import CacheCounter

log = logging.getLogger(__name__)


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


in_cache = CacheCounter("event")
# Links are cached per process by event and promoter code: during a rush thousands of requests a
# minute open the same link.
_cached_links: LocalCache[tuple[str, str], PromoLink] = LocalCache(
    size=1000, seconds=lambda: settings.LINK_SECONDS
)
# The codes of all promoters at an event, after somebody has opened a link with an unknown code.
# Such links are not cached: made-up codes remove no link, and cost no query.
_known_codes: LocalCache[str, frozenset[str]] = LocalCache(
    size=1000, seconds=lambda: settings.LINK_SECONDS
)
# Unknown codes that were logged, by event and code. Each is logged once in LOGGED_SECONDS, and at
# most MAX_LOGGED_CODES: anybody can make up codes.
LOGGED_SECONDS = 600.0
MAX_LOGGED_CODES = 100
MAX_LOGGED_LENGTH = 40
_logged_codes: LocalCache[tuple[str, str], str] = LocalCache(
    size=MAX_LOGGED_CODES + 1, seconds=lambda: LOGGED_SECONDS
)


def open_link(event_slug: str, promoter_code: str) -> PromoLink:
    """Return the link to an event, with "" or with the code of a promoter.

    A promoter who is not at the event, or not any more, counts as none: links that were shared
    still lead to the event. The event is at most LINK_SECONDS old, with `database_now` advanced to
    the present. Creating a guest always re-reads the event under its row lock. One query, two with
    a promoter, none for a cached link. Raises Http404 for an unknown event.
    """
    now = monotonic()
    link = _cached_links.get((event_slug, promoter_code))
    if link is None and is_unknown_promoter(event_slug, promoter_code):
        link = _cached_links.get((event_slug, ""))
    if link is None:
        in_cache.miss()
        link = _load_link(event_slug, promoter_code, now)
        _cached_links.set((event_slug, link.code), link)
    else:
        in_cache.hit()
    assert link.loaded_at is not None
    event = copy(link.event)
    event.database_now += timedelta(seconds=now - link.loaded_at)
    return replace(link, event=event)


def _load_link(event_slug: str, promoter_code: str, now: float) -> PromoLink:
    event = Event.objects.published().with_database_time().filter(slug=event_slug).first()
    if event is None:
        raise Http404("no such event")
    promoter, team = _find_promoter(event, promoter_code)
    return PromoLink(event, promoter, team, loaded_at=now)


def _find_promoter(event: Event, code: str) -> tuple[Promoter | None, Team | None]:
    """Return the promoter and team of a code, both None for a code that nobody has at the event.

    One more query for the first unknown code in LINK_SECONDS, no query for all others.
    """
    if is_unknown_promoter(event.slug, code):
        return None, None
    try:
        return find_promoter(event, code=code)
    except GuestError:
        at_event = EventPromoter.objects.filter(event=event)
        _known_codes.set(event.slug, frozenset(at_event.values_list("promoter__code", flat=True)))
        log_unknown_promoter(event.slug, code)
        return None, None


def is_unknown_promoter(event_slug: str, code: str) -> bool:
    """Return whether a code is known to be nobody's at an event. No query."""
    codes = _known_codes.get(event_slug)
    if not code or codes is None or code in codes:
        return False
    log_unknown_promoter(event_slug, code)
    return True


def log_unknown_promoter(event_slug: str, code: str) -> None:
    """Log a code that nobody has at an event, unless it was logged a while ago."""
    code = code[:MAX_LOGGED_LENGTH]
    is_full = len(_logged_codes.values()) == MAX_LOGGED_CODES
    if not is_full and _logged_codes.add((event_slug, code), "logged"):
        log.warning("promo_link_unknown_promoter", extra={"event": event_slug, "code": code})
