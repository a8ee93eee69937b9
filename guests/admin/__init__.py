"""The admin pages of guest lists and of claims. Django loads this package."""

from guests.admin import claims, events, guests, promoters, requests

__all__ = ["claims", "events", "guests", "promoters", "requests"]
