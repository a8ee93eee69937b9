"""DMARC (RFC 7489): what receivers do with emails whose SPF and DKIM do not match the sender.

The organisational domain is found by the tree walk of its successor, which needs no list of public
suffixes.
"""

import re
from dataclasses import dataclass

from notifications.sender_domains.findings import Finding, advice, good, missing
from notifications.sender_domains.lookups import Lookups
from notifications.sender_domains.tags import read_tags

ABOUT = "DMARC"
POLICIES = {"none", "quarantine", "reject"}
BEGINNING = re.compile(r"v\s*=\s*DMARC1\s*(;|$)")
# The tree walk asks for at most so many names.
MAX_WALK = 8


@dataclass(frozen=True)
class Policy:
    """The record that applies to a domain, and the domain at which it is."""

    domain: str
    at: str
    tags: dict[str, str]

    @property
    def policy(self) -> str:
        """Return what receivers do: the policy of subdomains when the record is further up."""
        name = "p" if self.at == self.domain else "sp"
        return self.tags.get(name, self.tags.get("p", "")).lower()

    def is_strict(self, tag: str) -> bool:
        return self.tags.get(tag, "r").lower() == "s"


@dataclass(frozen=True)
class DmarcResult:
    """The findings of a domain, and what its alignment is judged by."""

    findings: list[Finding]
    organisation: str
    is_strict_spf: bool = False
    is_strict_dkim: bool = False

    def is_aligned(self, domain: str, sender: str, *, is_strict: bool) -> bool:
        """Return whether an authenticated domain counts as that of the sender."""
        if domain == sender or is_strict:
            return domain == sender
        return is_below(domain, self.organisation) and is_below(sender, self.organisation)


def is_below(domain: str, parent: str) -> bool:
    return domain == parent or domain.endswith(f".{parent}")


def check_dmarc(domain: str, lookups: Lookups) -> DmarcResult:
    """Check the record that applies to a sender domain."""
    organisation = organisation_of(domain, lookups)
    own = _records_at(domain, lookups)
    if len(own) > 1:
        text = f"Remove all DMARC records at _dmarc.{domain} but one. Receivers accept none of"
        return DmarcResult([missing(ABOUT, f"{text} {len(own)}.")], organisation)
    policy = _policy_of(domain, organisation, lookups)
    if policy is None:
        return DmarcResult([_no_record(domain, lookups)], organisation)
    return DmarcResult(
        _check_policy(policy),
        organisation,
        is_strict_spf=policy.is_strict("aspf"),
        is_strict_dkim=policy.is_strict("adkim"),
    )


def organisation_of(domain: str, lookups: Lookups) -> str:
    """Return the domain of the organisation: the highest one with a DMARC record.

    Without a record it is the last two parts of the domain.
    """
    found, has_record, below = domain, False, domain
    for parent in _walk(domain):
        records = _records_at(parent, lookups)
        marker = ""
        if len(records) == 1:
            marker = read_tags(records[0]).get("psd", "u").lower()
        if marker == "y":
            # A registry, such as that of gov.uk: its members are organisations of their own.
            return below
        if marker:
            found, has_record = parent, True
        if marker == "n":
            break
        below = parent
    if has_record:
        return found
    return ".".join(domain.split(".")[-2:])


def _walk(domain: str) -> list[str]:
    """Return a domain and its parents, without the top level."""
    labels = domain.split(".")
    names = [".".join(labels[start:]) for start in range(len(labels) - 1)]
    if len(names) > MAX_WALK:
        return [names[0], *names[1 - MAX_WALK :]]
    return names


def _records_at(domain: str, lookups: Lookups) -> list[str]:
    texts = lookups.texts(f"_dmarc.{domain}").values
    return [text for text in texts if BEGINNING.match(text)]


def _policy_of(domain: str, organisation: str, lookups: Lookups) -> Policy | None:
    for at in dict.fromkeys([domain, organisation]):
        records = _records_at(at, lookups)
        if len(records) == 1:
            return Policy(domain, at, read_tags(records[0]))
    return None


def _no_record(domain: str, lookups: Lookups) -> Finding:
    for text in lookups.texts(f"_dmarc.{domain}").values:
        if "dmarc1" in text.lower():
            return missing(ABOUT, f"Begin the record at _dmarc.{domain} with v=DMARC1; exactly.")
    address = f"rua=mailto:dmarc@{domain}"
    text = f'Add a TXT record at _dmarc.{domain}: "v=DMARC1; p=none; {address}".'
    return missing(ABOUT, f"{text} It has none.")


def _check_policy(policy: Policy) -> list[Finding]:
    name = f"_dmarc.{policy.at}"
    if policy.policy not in POLICIES:
        text = f"Write p=none, p=quarantine or p=reject in the record at {name}: it has no policy."
        return [missing(ABOUT, text)]
    findings = [good(ABOUT, f"The record at {name} says {policy.policy}.")]
    if policy.policy == "none":
        text = f"Write p=quarantine at {name} once the reports name no server of yours that fails."
        findings.append(advice(ABOUT, text))
    if "rua" not in policy.tags:
        text = f"Add rua=mailto:… to the record at {name}: without it nobody gets reports."
        findings.append(advice(ABOUT, text))
    return findings
