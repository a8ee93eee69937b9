"""DNS lookups that tell apart what does not exist and what could not be looked up."""

from dataclasses import dataclass, field

import dns.exception
import dns.name
import dns.rdatatype
import dns.resolver
import dns.reversename
from dns.rdata import Rdata

# Seconds for one lookup, all its attempts together.
LOOKUP_SECONDS = 5.0


class LookupFailedError(Exception):
    """A name server did not say whether a record exists. The text is a sentence."""


@dataclass(frozen=True)
class Answer:
    """The records of one type at a name. `exists` is False when no name is there at all.

    `alias` is the name that a CNAME record leads to, "" without one.
    """

    values: list[str] = field(default_factory=list)
    exists: bool = True
    alias: str = ""


class Lookups:
    """A DNS client. It asks each question once and remembers the answer."""

    def __init__(
        self, nameserver: str = "", port: int = 53, *, seconds: float = LOOKUP_SECONDS
    ) -> None:
        """Use a name server, given by its address. By default: those of this machine."""
        self._answers: dict[tuple[str, str], Answer] = {}
        self._seconds = seconds
        self._where = "the name servers of this machine"
        try:
            self._resolver = dns.resolver.Resolver(configure=not nameserver)
        except dns.resolver.NoResolverConfiguration as error:
            raise LookupFailedError(
                "This machine has no name server: name one with --nameserver."
            ) from error
        if nameserver:
            self._where = f"the name server {nameserver}"
            self._resolver.nameservers = [nameserver]
            self._resolver.port = port

    def texts(self, name: str) -> Answer:
        """Return the TXT records at a name, each as one text."""
        return self.records(name, "TXT")

    def addresses(self, name: str) -> list[str]:
        """Return the IPv4 and IPv6 addresses of a name."""
        return self.records(name, "A").values + self.records(name, "AAAA").values

    def names_of(self, address: str) -> list[str]:
        """Return the names that the PTR records of an address give."""
        return self.records(dns.reversename.from_address(address).to_text(), "PTR").values

    def records(self, name: str, rdatatype: str) -> Answer:
        """Return the records of one type. Raises LookupFailedError."""
        key = (name.lower().rstrip("."), rdatatype)
        if key not in self._answers:
            self._answers[key] = self._look_up(name, rdatatype)
        return self._answers[key]

    def _look_up(self, name: str, rdatatype: str) -> Answer:
        question = f"the {rdatatype} records of {name.rstrip('.')}"
        try:
            answer = self._resolver.resolve(
                f"{name.rstrip('.')}.", rdatatype, lifetime=self._seconds, raise_on_no_answer=False
            )
        except dns.resolver.NXDOMAIN as error:
            return Answer(exists=False, alias=_alias(error.canonical_name, name))
        except (dns.name.LabelTooLong, dns.name.NameTooLong, dns.name.EmptyLabel):
            # No such name can exist.
            return Answer(exists=False)
        except dns.resolver.NoNameservers as error:
            raise LookupFailedError(self._failure(question, error)) from error
        except dns.exception.Timeout as error:
            raise LookupFailedError(
                f"{self._where.capitalize()} did not respond within {self._seconds:g} s to a"
                f" question for {question}."
            ) from error
        except (dns.exception.DNSException, OSError) as error:
            raise LookupFailedError(
                f"{question.capitalize()} could not be looked up ({type(error).__name__})."
            ) from error
        alias = _alias(answer.canonical_name, name)
        return Answer([_text(rdata) for rdata in answer.rrset or ()], alias=alias)

    def _failure(self, question: str, error: dns.resolver.NoNameservers) -> str:
        """Return a sentence on why no name server gave an answer."""
        reasons = [each[3] for each in error.kwargs.get("errors", [])]
        for reason in reasons:
            if isinstance(reason, OSError):
                return f"There is no network to {self._where}, for {question}."
        codes = [reason for reason in reasons if isinstance(reason, str)]
        code = codes[0] if codes else "no valid response"
        return f"{self._where.capitalize()} responded with {code} to a question for {question}."


def _alias(canonical: dns.name.Name, name: str) -> str:
    target = canonical.to_text(omit_final_dot=True).lower()
    if target == name.lower().rstrip("."):
        return ""
    return target


def _text(rdata: Rdata) -> str:
    """Return a record's value: the joined strings of a TXT record, a name without its last dot."""
    if rdata.rdtype == dns.rdatatype.TXT:
        return b"".join(rdata.strings).decode("utf-8", "replace")  # type: ignore[attr-defined]
    return rdata.to_text().removesuffix(".")
