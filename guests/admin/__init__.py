"""Guest lists in admin. Django loads this package; each module registers its own pages."""

from guests.admin import events, guests, promoters, requests
from guests.claims import admin as claims

__all__ = ["claims", "events", "guests", "promoters", "requests"]
