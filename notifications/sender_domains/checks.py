"""Check whether the large mailbox providers will take emails from a sender domain.

Each check is about one requirement and returns its findings. A lookup that fails makes only its own
check unknown.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from ipaddress import ip_address

from notifications.sender_domains.dkim import check_dkim
from notifications.sender_domains.dmarc import DmarcResult, check_dmarc
from notifications.sender_domains.findings import (
    Finding,
    Level,
    advice,
    good,
    missing,
    unknown,
)
from notifications.sender_domains.lookups import LookupFailedError, Lookups
from notifications.sender_domains.providers import PROVIDERS, ProviderRules
from notifications.sender_domains.spf import InvalidRecordError, check_spf, read_policy

# Top-level domains that are reserved for examples and tests (RFC 2606).
RESERVED = {"example", "test", "invalid", "localhost"}


@dataclass(frozen=True)
class Sending:
    """How emails from a domain are sent.

    `bounce_domain` is the domain of the envelope's sender, "" when it is not known.
    `signing_domain` is the one of the DKIM signature. `addresses` are those from which an own mail
    server sends; `are_guessed` when they are only those of EMAIL_HOST. `tls_settings` are those
    that would encrypt the way to it.
    """

    provider: str
    bounce_domain: str
    signing_domain: str
    selectors: tuple[str, ...] = ()
    addresses: tuple[str, ...] = ()
    are_guessed: bool = False
    tls_settings: tuple[str, ...] = ()

    @property
    def rules(self) -> ProviderRules:
        return PROVIDERS[self.provider]


def check_domain(domain: str, sending: Sending, lookups: Lookups) -> list[Finding]:
    """Return all findings about a sender domain, which is in ASCII."""
    if absent := _attempt("domain", lambda: _check_existence(domain, lookups)):
        return absent
    findings = _attempt("replies", lambda: _check_replies(domain, lookups))
    spf = _attempt("SPF", lambda: _check_spf(domain, sending, lookups))
    dkim = _attempt("DKIM", lambda: _check_dkim(sending, lookups))
    dmarc = DmarcResult([], domain)
    try:
        dmarc = check_dmarc(domain, lookups)
        alignment = _check_alignment(domain, sending, spf, dkim, dmarc)
    except LookupFailedError as error:
        alignment = [unknown("DMARC", str(error))]
    findings += [*spf, *dkim, *dmarc.findings, *alignment]
    if sending.provider == "smtp":
        findings += _attempt("server", lambda: _check_server(sending, lookups))
    return findings


def _attempt(about: str, check: Callable[[], list[Finding]]) -> list[Finding]:
    try:
        return check()
    except LookupFailedError as error:
        return [unknown(about, str(error))]


def _check_existence(domain: str, lookups: Lookups) -> list[Finding]:
    """Return a finding for a domain that does not exist, none for any other."""
    if domain.rpartition(".")[2] in RESERVED and not lookups.records(domain, "SOA").exists:
        text = f"Set DEFAULT_FROM_EMAIL: {domain} is reserved for examples."
        return [missing("domain", text)]
    if not lookups.records(domain, "MX").exists and not lookups.texts(domain).exists:
        return [missing("domain", f"Register {domain}, or correct it: it does not exist in DNS.")]
    return []


def _check_replies(domain: str, lookups: Lookups) -> list[Finding]:
    """Check that the sender's address can receive: some servers refuse senders that cannot."""
    servers = lookups.records(domain, "MX").values
    if any(server.split()[-1] in {".", "0"} for server in servers):
        text = f"Replace the MX record of {domain} that says it receives no email."
        return [missing("replies", f"{text} Some servers refuse its emails.")]
    if servers:
        return [good("replies", f"{domain} has a server that receives replies and bounces.")]
    if lookups.addresses(domain):
        text = f"Add an MX record for {domain}, or replies go to the server of its web page."
        return [advice("replies", text)]
    text = f"Add an MX record for {domain}: some servers refuse senders that cannot receive."
    return [missing("replies", text)]


def _check_spf(domain: str, sending: Sending, lookups: Lookups) -> list[Finding]:
    """Check SPF where bounces go, and that a record of the sender itself is valid."""
    rules, bounces = sending.rules, sending.bounce_domain
    if not bounces:
        text = "Name the domain to which bounces go with --bounce-domain or EMAIL_BOUNCE_DOMAIN."
        return [unknown("SPF", f"{text} {rules.label} shows it beside its records.")]
    include = rules.include
    if include and f".{lookups.texts(bounces).alias}".endswith(f".{include}"):
        # The provider keeps the record itself.
        include = ""
    findings = check_spf(bounces, lookups, include=include, addresses=sending.addresses)
    if sending.are_guessed and sending.addresses:
        # What is missing whichever address sends is no guess, such as two records.
        certain = check_spf(bounces, lookups, include=include)
        findings = [each if each in certain else _as_guess(each) for each in findings]
    if bounces != domain:
        findings += _check_unused_spf(domain, lookups)
    findings += _check_bounce_server(sending, lookups)
    return findings


def _check_unused_spf(domain: str, lookups: Lookups) -> list[Finding]:
    try:
        read_policy(domain, lookups)
    except InvalidRecordError as error:
        return [missing("SPF", str(error))]
    return []


def _check_bounce_server(sending: Sending, lookups: Lookups) -> list[Finding]:
    """Check that bounces reach the provider, which reports them to SNAP."""
    ending = sending.rules.bounce_mx
    if not ending:
        return []
    servers = lookups.records(sending.bounce_domain, "MX").values
    if any(server.lower().endswith(f".{ending}") for server in servers):
        return []
    text = f"Add the MX record at {sending.bounce_domain} that {sending.rules.source} shows."
    return [missing("SPF", f"{text} Without it, bounces are not reported.")]


def _check_dkim(sending: Sending, lookups: Lookups) -> list[Finding]:
    rules = sending.rules
    return check_dkim(
        sending.signing_domain,
        sending.selectors or rules.selectors,
        lookups,
        needs_all=rules.needs_all_selectors or bool(sending.selectors),
        source=rules.source,
    )


def _check_alignment(
    domain: str, sending: Sending, spf: list[Finding], dkim: list[Finding], dmarc: DmarcResult
) -> list[Finding]:
    """Check that SPF or DKIM is about the sender's domain. DMARC asks for one of them."""
    bounces, signing = sending.bounce_domain, sending.signing_domain
    is_spf = dmarc.is_aligned(bounces, domain, is_strict=dmarc.is_strict_spf)
    is_dkim = dmarc.is_aligned(signing, domain, is_strict=dmarc.is_strict_dkim)
    aligned = []
    if is_spf and _is_valid(spf):
        aligned.append(f"SPF of {bounces}")
    if is_dkim and _is_valid(dkim):
        aligned.append(f"DKIM of {signing}")
    if aligned:
        ways = " and ".join(aligned)
        return [good("alignment", f"Emails from {domain} pass DMARC by {ways}.")]
    if not is_spf and not is_dkim:
        used = " or ".join(filter(None, dict.fromkeys([signing, bounces])))
        text = f"Send from an address at {used}, or add {domain} at the mail provider."
        return [missing("alignment", f"{text} Neither SPF nor DKIM is about {domain} now.")]
    if _has(Level.UNKNOWN, spf + dkim):
        text = f"Whether emails from {domain} pass DMARC depends on what was not checked."
        return [unknown("alignment", text)]
    text = f"Mend SPF or DKIM: until then, emails from {domain} fail DMARC."
    return [missing("alignment", text)]


def _is_valid(findings: list[Finding]) -> bool:
    return not _has(Level.MISSING, findings) and not _has(Level.UNKNOWN, findings)


def _has(level: Level, findings: list[Finding]) -> bool:
    return any(finding.level is level for finding in findings)


def _check_server(sending: Sending, lookups: Lookups) -> list[Finding]:
    """Check the own mail server: its names, and the encryption on the way to it."""
    findings = []
    for setting in sending.tls_settings:
        findings.append(
            advice("server", f"Set {setting}: emails go to the mail server unencrypted.")
        )
    if not sending.addresses:
        text = "Name the public address from which the mail server sends with --address."
        findings.append(unknown("server", text))
    for address in sending.addresses:
        findings += [_check_name(address, sending, lookups)]
    return findings


def _check_name(address: str, sending: Sending, lookups: Lookups) -> Finding:
    """Check that an address has a name (PTR) which leads back to it."""
    names = lookups.names_of(address)
    for name in names:
        if ip_address(address) in map(ip_address, lookups.addresses(name)):
            return good("server", f"{address} is {name}, in both directions.")
    text = f"Have the network's owner give {address} a name (PTR record). It has none."
    if names:
        text = f"Add an address record for {names[0]} with {address}, which has that name."
    finding = missing("server", text)
    return _as_guess(finding) if sending.are_guessed else finding


def _as_guess(finding: Finding) -> Finding:
    """Return a finding about an address that may not be the one that sends."""
    if finding.level is not Level.MISSING:
        return finding
    text = f"{finding.text} If emails leave from another address, name it with --address."
    return unknown(finding.about, text)


def count_by_level(findings: list[Finding]) -> Iterator[tuple[Level, int]]:
    """Yield each level that findings have, with their number, the worst first."""
    for level in reversed(Level):
        if number := sum(finding.level is level for finding in findings):
            yield level, number
