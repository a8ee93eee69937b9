"""Proof that a browser has worked (ALTCHA), or waited, for a budget of its own.

Both are signed, end after a while, count once, and only for the browser and the purpose they were
made for. Nothing is kept of a challenge until it is solved.
"""

import json
from base64 import b64decode
from binascii import Error as NotBase64
from math import ceil
from time import time
from typing import Any

from altcha import create_challenge, verify_solution
from django.conf import settings
from django.core import signing

from snap.limits.counters import hash_of, use_once

ALGORITHM = "PBKDF2/SHA-256"
MAX_SOLUTION = 4000  # characters
SALT = "snap.challenges.wait"
# Seconds for which somebody who has waited long enough may still come.
COME_WITHIN = 120


def new_challenge(*, browser: str, purpose: str) -> dict[str, Any]:
    """Return a challenge as ALTCHA's widget takes it: 256 tries on average. Costs no work here."""
    challenge = create_challenge(
        ALGORITHM,
        settings.CHALLENGE_COST,
        expires_at=int(time()) + settings.CHALLENGE_AGE,
        data={"browser": hash_of(browser), "purpose": purpose},
        hmac_secret=_secret(),
    )
    whole: dict[str, Any] = challenge.to_dict()
    return whole


def is_solved(solution: str, *, browser: str, purpose: str) -> bool:
    """Say whether it solves a challenge made for this browser and purpose, for the first time.

    False without Redis, which is what knows whether it was used. About a millisecond of CPU for a
    challenge of ours, next to nothing for a forged one.
    """
    if len(solution) > MAX_SOLUTION:
        return False
    try:
        signed = json.loads(b64decode(solution, validate=True))["challenge"]
        data, signature = signed["parameters"]["data"], signed["signature"]
        is_ours = data == {"browser": hash_of(browser), "purpose": purpose}
        if not is_ours or not verify_solution(solution, _secret()).verified:
            return False
    except (NotBase64, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return False
    return use_once(f"challenge {signature}", settings.CHALLENGE_AGE + 1)


def start_waiting(*, browser: str, purpose: str) -> str:
    """Return what proves in CHALLENGE_WAIT seconds that this browser has waited since now."""
    return signing.dumps([hash_of(browser), purpose, time()], salt=SALT, compress=False)


def seconds_to_wait(proof: str, *, browser: str, purpose: str) -> int:
    """Return how long this browser still has to wait, 0 for a proof that is over or not its own."""
    since = _waiting_since(proof, browser, purpose)
    return 0 if since is None else max(0, ceil(since + settings.CHALLENGE_WAIT - time()))


def has_waited(proof: str, *, browser: str, purpose: str) -> bool:
    """Say whether this browser has waited long enough, not too long, and comes for the first time.

    False without Redis.
    """
    since = _waiting_since(proof, browser, purpose)
    if since is None or time() - since < settings.CHALLENGE_WAIT:
        return False
    return use_once(f"wait {proof}", settings.CHALLENGE_WAIT + COME_WITHIN)


def _waiting_since(proof: str, browser: str, purpose: str) -> float | None:
    try:
        max_age = settings.CHALLENGE_WAIT + COME_WITHIN
        whose, what_for, since = signing.loads(proof, salt=SALT, max_age=max_age)
    except signing.BadSignature:
        return None
    is_own = whose == hash_of(browser) and what_for == purpose
    return float(since) if is_own else None


def _secret() -> str:
    return f"challenge {settings.SECRET_KEY}"
