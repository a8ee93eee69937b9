"""The admin pages of guest lists and of claims. Django loads this package."""

from guests.admin import claims, events, guests, list_messages, promoters, requests

__all__ = ["claims", "events", "guests", "list_messages", "promoters", "requests"]
