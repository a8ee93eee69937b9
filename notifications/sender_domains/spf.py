"""SPF (RFC 7208): which servers may send for a domain."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

from notifications.sender_domains.findings import Finding, advice, good, missing
from notifications.sender_domains.lookups import Lookups

ABOUT = "SPF"
# RFC 7208, section 4.6.4.
MAX_LOOKUPS = 10
MAX_VOID_LOOKUPS = 2
# Terms that each cost a lookup.
LOOKUP_TERMS = {"include", "a", "mx", "ptr", "exists", "redirect"}
OTHER_TERMS = {"all", "ip4", "ip6", "exp"}
QUALIFIERS = "+-~?"

Address = IPv4Address | IPv6Address


class InvalidRecordError(Exception):
    """Receivers treat the record as an error (permerror). The text is a sentence."""


@dataclass(frozen=True)
class Term:
    qualifier: str
    name: str
    value: str


@dataclass
class Policy:
    """What the record of a domain says, with all records that it includes."""

    domain: str
    record: str
    ending: str = ""  # the qualifier of `all`, "" without one
    included: set[str] = field(default_factory=set)
    networks: list[str] = field(default_factory=list)
    lookups: int = 0
    void_lookups: int = 0
    has_ptr: bool = False
    has_macro: bool = False

    def allows(self, address: Address) -> bool:
        return any(address in ip_network(each, strict=False) for each in self.networks)


def spf_records(texts: list[str]) -> list[str]:
    """Return the SPF records among the TXT records of a name."""
    return [text for text in texts if text.lower().split(" ")[0] == "v=spf1"]


def read_policy(domain: str, lookups: Lookups) -> Policy | None:
    """Return what a domain's record says, None without one. Raises InvalidRecordError."""
    record = _single_record(domain, lookups)
    if not record:
        return None
    policy = Policy(domain, record)
    _follow(policy, domain, record, lookups)
    policy.ending = _ending(domain, record, lookups)
    return policy


def check_spf(
    domain: str, lookups: Lookups, *, include: str = "", addresses: tuple[str, ...] = ()
) -> list[Finding]:
    """Check the record of a domain that bounces go to.

    `include` is the domain that the mail provider asks to include; `addresses` are those of an own
    mail server.
    """
    wanted = f"include:{include}" if include else "mx"
    try:
        policy = read_policy(domain, lookups)
    except InvalidRecordError as error:
        return [missing(ABOUT, str(error))]
    if policy is None:
        text = f'Add a TXT record at {domain}: "v=spf1 {wanted} ~all". It has no SPF record.'
        return [missing(ABOUT, text)]
    findings = [*_check_senders(policy, include, addresses), *_check_ending(policy)]
    findings.extend(_check_style(policy))
    return findings


def _check_senders(policy: Policy, include: str, addresses: tuple[str, ...]) -> Iterator[Finding]:
    """Yield whether the provider or each address of the own server may send."""
    domain = policy.domain
    if include and include not in policy.included:
        text = f"Add include:{include} before `all` to the SPF record of {domain}."
        yield missing(ABOUT, f"{text} Now the mail provider may not send for it.")
    elif include:
        yield good(ABOUT, f"The record of {domain} lets the mail provider send.")
    for address in addresses:
        if policy.allows(ip_address(address)):
            yield good(ABOUT, f"The record of {domain} lets {address} send.")
        elif not policy.has_macro:
            version = "ip6" if ":" in address else "ip4"
            text = f"Add {version}:{address} before `all` to the SPF record of {domain}."
            yield missing(ABOUT, f"{text} Now that address may not send for it.")
    if not include and not addresses:
        yield good(ABOUT, f"The record of {domain} is valid.")


def _check_ending(policy: Policy) -> Iterator[Finding]:
    if policy.ending == "+":
        text = f"Write ~all in place of +all in the SPF record of {policy.domain}."
        yield missing(ABOUT, f"{text} Now every server of the world may send for it.")
    elif policy.ending in {"", "?"}:
        text = f"End the SPF record of {policy.domain} with ~all or -all."
        yield advice(ABOUT, f"{text} Now it says nothing about other servers.")


def _check_style(policy: Policy) -> Iterator[Finding]:
    if policy.has_ptr:
        yield advice(ABOUT, f"Remove ptr from the SPF record of {policy.domain}: it is obsolete.")


def _single_record(domain: str, lookups: Lookups) -> str:
    """Return the SPF record at a name, "" without one. Raises InvalidRecordError for several."""
    records = spf_records(lookups.texts(domain).values)
    if len(records) > 1:
        raise InvalidRecordError(
            f"Join the {len(records)} SPF records of {domain} into one. Receivers accept none of"
            " several."
        )
    return records[0] if records else ""


def _follow(
    policy: Policy, domain: str, record: str, lookups: Lookups, *, passes: bool = True
) -> None:
    """Read the terms of a record that are in effect, and the records that they lead to.

    `passes` is False below an include that does not let servers send, such as `?include:…`.
    """
    for term in _terms_in_effect(domain, record):
        _count(policy, term)
        is_pass = passes and term.qualifier == "+"
        if "%" in term.value:
            policy.has_macro = True
        elif term.name in {"include", "redirect"}:
            if is_pass:
                policy.included.add(term.value)
            target = _included_record(domain, term, lookups)
            _follow(policy, term.value, target, lookups, passes=is_pass)
        elif term.name != "all":
            networks = list(_networks(policy, domain, term, lookups))
            if is_pass:
                policy.networks.extend(networks)


def _ending(domain: str, record: str, lookups: Lookups) -> str:
    """Return the qualifier of the record's `all`, or of that which it redirects to; "" for none."""
    last = _terms_in_effect(domain, record)[-1:]
    for term in last:
        if term.name == "all":
            return term.qualifier
        if term.name == "redirect" and "%" not in term.value:
            return _ending(term.value, _included_record(domain, term, lookups), lookups)
    return ""


def _terms_in_effect(domain: str, record: str) -> list[Term]:
    """Return the terms up to `all`. A redirect counts after all others, and without `all` only."""
    terms, redirects = [], []
    for term in list(_terms(domain, record)):
        if term.name == "redirect":
            redirects.append(term)
            continue
        terms.append(term)
        if term.name == "all":
            return terms
    return terms + redirects[:1]


def _included_record(domain: str, term: Term, lookups: Lookups) -> str:
    record = _single_record(term.value, lookups)
    if not record:
        raise InvalidRecordError(
            f"Remove {term.name} of {term.value} from the SPF record of {domain}: there is no SPF"
            " record, which makes the whole record invalid."
        )
    return record


def _terms(domain: str, record: str) -> Iterator[Term]:
    """Yield the terms of a record. Raises InvalidRecordError for an unknown one."""
    for text in record.split()[1:]:
        qualifier = "+"
        if text[0] in QUALIFIERS:
            qualifier, text = text[0], text[1:]
        is_modifier = "=" in text.split(":")[0]
        name, _, value = text.partition("=" if is_modifier else ":")
        name = name.lower()
        if "/" in name:
            # `a/24` stands for `a:<domain>/24`.
            name, _, length = name.partition("/")
            value = f"{domain}/{length}"
        if name not in LOOKUP_TERMS | OTHER_TERMS and not is_modifier:
            raise InvalidRecordError(
                f"Correct `{text}` in the SPF record of {domain}: receivers do not know it, which"
                " makes the whole record invalid."
            )
        yield Term(qualifier, name, value.lower().removesuffix("."))


def _count(policy: Policy, term: Term) -> None:
    policy.has_ptr = policy.has_ptr or term.name == "ptr"
    if term.name in LOOKUP_TERMS:
        policy.lookups += 1
    if policy.lookups > MAX_LOOKUPS:
        raise InvalidRecordError(
            f"Remove includes from the SPF record of {policy.domain}: it needs more than"
            f" {MAX_LOOKUPS} lookups, which makes it invalid."
        )


def _networks(policy: Policy, domain: str, term: Term, lookups: Lookups) -> Iterator[str]:
    """Yield the networks that a term of one record names."""
    host, slash, length = term.value.partition("/")
    host = host or domain
    if term.name in {"ip4", "ip6"}:
        yield _valid_network(domain, term)
        return
    if term.name not in {"a", "mx"}:
        return
    hosts = [host]
    if term.name == "mx":
        hosts = [value.split()[1] for value in lookups.records(host, "MX").values]
    found = [address for each in hosts for address in lookups.addresses(each)]
    if not found:
        _count_void(policy)
    for address in found:
        yield f"{address}{slash}{length}" if ":" not in address and slash else address


def _count_void(policy: Policy) -> None:
    policy.void_lookups += 1
    if policy.void_lookups > MAX_VOID_LOOKUPS:
        raise InvalidRecordError(
            f"Remove the names that do not exist from the SPF record of {policy.domain}: more than"
            f" {MAX_VOID_LOOKUPS} of them make it invalid."
        )


def _valid_network(domain: str, term: Term) -> str:
    try:
        network = ip_network(term.value, strict=False)
    except ValueError:
        network = None
    if network is None or f"ip{network.version}" != term.name:
        raise InvalidRecordError(
            f"Correct `{term.name}:{term.value}` in the SPF record of {domain}: it is no address,"
            " which makes the whole record invalid."
        )
    return term.value
