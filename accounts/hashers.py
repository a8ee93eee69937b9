"""Limits how many passwords are hashed at once, because hashing is slow on purpose."""

import os

from django.conf import settings
from django.contrib.auth.hashers import PBKDF2PasswordHasher

from snap.resilience.slots import Slots

hash_slots = Slots("hash", settings.HASH_SLOTS or max(1, (os.cpu_count() or 1) // 2))


class BoundedPasswordHasher(PBKDF2PasswordHasher):
    """Django's hasher, in one of this host's slots. Raises BusyError if no slot becomes free.

    Django calls `encode` when a password is checked, also for an unknown account, and when one is
    set.
    """

    def encode(self, password: str, salt: str, iterations: int | None = None) -> str:
        with hash_slots.hold_one():
            return super().encode(password, salt, iterations)
