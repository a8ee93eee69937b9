"""Proofs of work (ALTCHA) and proofs of waiting, with which a browser gets its own budget.

Both are signed, expire, can be used once, and are valid only for one browser and one purpose. The
server stores nothing about a challenge until it is solved.
"""

import json
from base64 import b64decode
from binascii import Error as Base64Error
from math import ceil
from time import time
from typing import Any

from altcha import create_challenge, verify_solution
from django.conf import settings
from django.core import signing

from snap.limits.counters import use_once
from snap.limits.layers import hash_of

ALGORITHM = "PBKDF2/SHA-256"
MAX_SOLUTION = 4000  # characters
SALT = "snap.challenges.wait"
# Seconds for which a proof of waiting stays valid after the wait is over.
WAIT_PROOF_GRACE = 120


def new_challenge(*, browser: str, purpose: str) -> dict[str, Any]:
    """Return a challenge for ALTCHA's widget. Solving it takes 256 tries on average."""
    challenge = create_challenge(
        ALGORITHM,
        settings.CHALLENGE_COST,
        expires_at=int(time()) + settings.CHALLENGE_AGE,
        data={"browser": hash_of(browser), "purpose": purpose},
        hmac_secret=_secret(),
    )
    fields: dict[str, Any] = challenge.to_dict()
    return fields


def is_solved(solution: str, *, browser: str, purpose: str) -> bool:
    """Return whether this solves a challenge made for this browser and purpose, the first time.

    False without Redis, which stores the used solutions. Costs about a millisecond of CPU for one
    of our challenges, and a few microseconds for a forged one.
    """
    if len(solution) > MAX_SOLUTION:
        return False
    try:
        signed = json.loads(b64decode(solution, validate=True))["challenge"]
        data, signature = signed["parameters"]["data"], signed["signature"]
        is_ours = data == {"browser": hash_of(browser), "purpose": purpose}
        if not is_ours or not verify_solution(solution, _secret()).verified:
            return False
    except (Base64Error, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return False
    return use_once(f"challenge {signature}", settings.CHALLENGE_AGE + 1)


def start_waiting(*, browser: str, purpose: str) -> str:
    """Return a proof that this browser waits since now, valid after CHALLENGE_WAIT seconds."""
    return signing.dumps([hash_of(browser), purpose, time()], salt=SALT, compress=False)


def seconds_to_wait(proof: str, *, browser: str, purpose: str) -> int:
    """Return the seconds that this browser still has to wait. 0 for an expired or foreign proof."""
    since = _waiting_since(proof, browser, purpose)
    if since is None:
        return 0
    until: float = since + settings.CHALLENGE_WAIT
    return max(0, ceil(until - time()))


def has_waited(proof: str, *, browser: str, purpose: str) -> bool:
    """Return whether this browser has waited CHALLENGE_WAIT seconds and uses the proof first.

    False after WAIT_PROOF_GRACE more seconds, and without Redis.
    """
    since = _waiting_since(proof, browser, purpose)
    if since is None or time() - since < settings.CHALLENGE_WAIT:
        return False
    return use_once(f"wait {proof}", settings.CHALLENGE_WAIT + WAIT_PROOF_GRACE)


def _waiting_since(proof: str, browser: str, purpose: str) -> float | None:
    try:
        max_age = settings.CHALLENGE_WAIT + WAIT_PROOF_GRACE
        browser_hash, made_for, since = signing.loads(proof, salt=SALT, max_age=max_age)
    except signing.BadSignature:
        return None
    if browser_hash != hash_of(browser) or made_for != purpose:
        return None
    return float(since)


def _secret() -> str:
    return f"challenge {settings.SECRET_KEY}"
