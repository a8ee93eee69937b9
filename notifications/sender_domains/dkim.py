"""DKIM (RFC 6376): the public keys with which receivers check signatures of a domain's emails."""

import base64
import binascii
from collections.abc import Sequence

from notifications.sender_domains.findings import Finding, advice, good, missing, unknown
from notifications.sender_domains.lookups import Lookups
from notifications.sender_domains.tags import read_tags

ABOUT = "DKIM"
# RFC 8301: receivers take a signature with a shorter key for none. 2048 is what it asks for.
LEAST_BITS, GOOD_BITS = 1024, 2048
ED25519_BYTES = 32
# The types of the parts of a key in DER.
INTEGER, BIT_STRING, SEQUENCE = 0x02, 0x03, 0x30


def check_dkim(
    domain: str, selectors: Sequence[str], lookups: Lookups, *, needs_all: bool, source: str
) -> list[Finding]:
    """Check the keys of a domain under all selectors, or under the first one that has a key.

    `source` says who shows the record to add.
    """
    if not selectors:
        text = f"Name the selector of the keys of {domain} with --selector or EMAIL_DKIM_SELECTORS."
        return [unknown(ABOUT, text)]
    if not needs_all:
        present = [name for name in selectors if _is_present(domain, name, lookups)]
        if not present:
            text = f"Add the DKIM record that {source} shows, or name its selector with --selector."
            names = ", ".join(selectors)
            return [missing(ABOUT, f"{text} {domain} has no key under {names}.")]
        selectors = present[:1]
    findings: list[Finding] = []
    for name in selectors:
        findings += _check_key(domain, name, lookups, source)
    return findings


def key_name(domain: str, selector: str) -> str:
    return f"{selector}._domainkey.{domain}"


def _is_present(domain: str, selector: str, lookups: Lookups) -> bool:
    answer = lookups.texts(key_name(domain, selector))
    return bool(answer.values or answer.alias)


def _check_key(domain: str, selector: str, lookups: Lookups, source: str) -> list[Finding]:
    name = key_name(domain, selector)
    answer = lookups.texts(name)
    keys = [text for text in answer.values if "p" in read_tags(text)]
    if not keys and answer.alias:
        text = f"Correct the CNAME record at {name}: it leads to {answer.alias}, which has no key."
        return [missing(ABOUT, text)]
    if not keys:
        text = f"Add the DKIM record at {name} that {source} shows. There is none."
        return [missing(ABOUT, text)]
    if len(keys) > 1:
        return [
            missing(ABOUT, f"Remove all DKIM records at {name} but one. There are {len(keys)}.")
        ]
    return _check_record(name, keys[0])


def _check_record(name: str, record: str) -> list[Finding]:
    """Check the record of one selector."""
    tags = read_tags(record)
    kind, key = tags.get("k", "rsa").lower(), "".join(tags["p"].split())
    if tags.get("v", "DKIM1") != "DKIM1":
        return [missing(ABOUT, f"Begin the DKIM record at {name} with v=DKIM1.")]
    if not key:
        text = f"Publish a new key at {name}: the record revokes its key (`p=` is empty)."
        return [missing(ABOUT, text)]
    bits = _key_bits(kind, key)
    if bits == 0:
        text = f"Copy the DKIM record at {name} again: its key cannot be read."
        return [missing(ABOUT, text)]
    findings = [_check_length(name, kind, bits)]
    if "y" in tags.get("t", "").split(":"):
        text = f"Remove t=y from the DKIM record at {name}: it says that signatures are a test."
        findings.append(advice(ABOUT, text))
    return findings


def _check_length(name: str, kind: str, bits: int) -> Finding:
    if kind == "ed25519":
        text = f"Publish an RSA key beside the one at {name}: many receivers read no Ed25519 keys."
        return advice(ABOUT, text)
    if bits < LEAST_BITS:
        text = f"Replace the key at {name} by one of {GOOD_BITS} bits: it has {bits}."
        return missing(ABOUT, f"{text} Receivers ignore keys of fewer than {LEAST_BITS}.")
    if bits < GOOD_BITS:
        text = f"Replace the key at {name} by one of {GOOD_BITS} bits: it has {bits}."
        return advice(ABOUT, text)
    return good(ABOUT, f"The key at {name} has {bits} bits.")


def _key_bits(kind: str, key: str) -> int:
    """Return the length of a public key in bits, 0 for a text that is no key of its kind."""
    try:
        der = base64.b64decode(key, validate=True)
        if kind == "ed25519":
            return len(der) * 8 if len(der) == ED25519_BYTES else 0
        if kind == "rsa":
            return _modulus_bits(der)
    except (binascii.Error, ValueError, IndexError):
        pass
    return 0


def _modulus_bits(der: bytes) -> int:
    """Return the length of an RSA key: a SubjectPublicKeyInfo, or only the RSAPublicKey in it."""
    sequence, _ = _read_part(der, SEQUENCE)
    if sequence[0] == SEQUENCE:
        _, after_algorithm = _read_part(sequence, SEQUENCE)
        bit_string, _ = _read_part(after_algorithm, BIT_STRING)
        # Its first byte says how many of the last bits are unused.
        sequence, _ = _read_part(bit_string[1:], SEQUENCE)
    modulus, _ = _read_part(sequence, INTEGER)
    return int.from_bytes(modulus, "big").bit_length()


def _read_part(der: bytes, wanted: int) -> tuple[bytes, bytes]:
    """Return the content of a part in DER, and what follows it. Raises ValueError or IndexError."""
    if der[0] != wanted:
        raise ValueError("another type of part")
    length, start = der[1], 2
    if length & 0x80:
        size = length & 0x7F
        start += size
        length = int.from_bytes(der[2:start], "big")
    if start + length > len(der):
        raise ValueError("the part is cut off")
    return der[start : start + length], der[start + length :]
