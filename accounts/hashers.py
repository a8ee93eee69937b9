"""Passwords are hashed slowly on purpose. How many are hashed at once has a bound."""

import os

from django.conf import settings
from django.contrib.auth.hashers import PBKDF2PasswordHasher

from snap.resilience.slots import Slots

hash_slots = Slots("hash", settings.HASH_SLOTS or max(1, (os.cpu_count() or 1) // 2))


class BoundedPasswordHasher(PBKDF2PasswordHasher):
    """Django's hasher, in one of this host's slots. Raises BusyError where none gets free.

    Checking a password, one of an unknown account too, and setting one all end here.
    """

    def encode(self, password: str, salt: str, iterations: int | None = None) -> str:
        with hash_slots.one():
            return super().encode(password, salt, iterations)
