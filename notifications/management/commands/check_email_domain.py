"""`manage.py check_email_domain`: check what DNS says about the domains of senders."""

import json
import sys
from argparse import ArgumentParser
from ipaddress import ip_address
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from notifications.sender_domains.checks import check_domain, count_by_level
from notifications.sender_domains.configured import (
    Overrides,
    find_sending,
    sender_domains,
    sending_providers,
)
from notifications.sender_domains.findings import Finding, Level
from notifications.sender_domains.lookups import LookupFailedError, Lookups
from notifications.sender_domains.providers import PROVIDERS
from snap.mail_addresses import ascii_domain

DNS_PORT = 53
EXIT_MISSING, EXIT_UNKNOWN = 1, 2
EXPLANATION = """\
Each line is one sentence: what is right, what to add in DNS, or what could not be checked. The exit
status is 1 if something is missing, and 2 if something could not be checked.
"""


class Command(BaseCommand):
    help = f"Look up SPF, DKIM and DMARC of the domains that emails come from. {EXPLANATION}"
    # It needs no database, and checks settings that may not work yet.
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        add = parser.add_argument
        add("--domain", action="append", help="a sender's domain; default: those of the settings")
        add("--provider", action="append", choices=sorted(PROVIDERS), help="default: the setting")
        add("--selector", action="append", help="a DKIM selector; default: the provider's own")
        add("--bounce-domain", help="the domain to which bounces go; default: the provider's own")
        add("--address", action="append", help="an address from which your mail server sends")
        add("--nameserver", default="", help="address[:port]; default: those of this machine")
        add("--json", action="store_true", help="print one JSON object")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            lookups = Lookups(*_nameserver(options["nameserver"]))
        except LookupFailedError as error:
            raise CommandError(str(error)) from error
        overrides = _overrides(options)
        reports: dict[str, list[Finding]] = {}
        for provider in options["provider"] or sending_providers():
            for domain in map(_ascii, options["domain"] or sender_domains()):
                sending = find_sending(domain, provider, overrides, lookups)
                title = f"{domain} ({PROVIDERS[provider].label})"
                reports[title] = check_domain(domain, sending, lookups)
        if not reports:
            raise CommandError("EMAIL_PROVIDER sends no emails: name a provider with --provider.")
        self.print_reports(reports, as_json=options["json"])
        levels = {finding.level for findings in reports.values() for finding in findings}
        if Level.MISSING in levels:
            sys.exit(EXIT_MISSING)
        if Level.UNKNOWN in levels:
            sys.exit(EXIT_UNKNOWN)

    def print_reports(self, reports: dict[str, list[Finding]], *, as_json: bool) -> None:
        if as_json:
            lines = {title: list(map(_as_json, found)) for title, found in reports.items()}
            self.stdout.write(json.dumps(lines))
            return
        for title, findings in reports.items():
            self.stdout.write(title)
            for finding in findings:
                line = f"  {finding.level.value}: {finding.about}: {finding.text}"
                self.stdout.write(self._styled(finding.level, line))
        everything = [finding for findings in reports.values() for finding in findings]
        counts = [f"{number} {level.value}" for level, number in count_by_level(everything)]
        self.stdout.write(", ".join(counts))

    def _styled(self, level: Level, line: str) -> str:
        if level is Level.MISSING:
            return self.style.ERROR(line)
        if level is Level.GOOD:
            return self.style.SUCCESS(line)
        return self.style.WARNING(line)


def _overrides(options: dict[str, Any]) -> Overrides:
    addresses = tuple(options["address"] or ())
    for address in addresses:
        _require_address(address)
    return Overrides(
        selectors=tuple(options["selector"] or ()),
        bounce_domain=_ascii(options["bounce_domain"] or ""),
        addresses=addresses,
    )


def _nameserver(text: str) -> tuple[str, int]:
    """Return the address and port of a name server. Raises CommandError."""
    if not text:
        return "", DNS_PORT
    host, port = text, str(DNS_PORT)
    if text.startswith("[") or text.count(":") == 1:
        host, _, given = text.rpartition(":")
        port = given or port
    host = host.strip("[]")
    _require_address(host)
    if not port.isdecimal() or not 0 < int(port) < 65536:
        raise CommandError(f"{port!r} is no port of a name server.")
    return host, int(port)


def _require_address(text: str) -> None:
    try:
        ip_address(text)
    except ValueError:
        raise CommandError(f"{text!r} is no IP address.") from None


def _ascii(domain: str) -> str:
    try:
        return ascii_domain(domain.strip().rstrip("."))
    except UnicodeError:
        raise CommandError(f"{domain!r} is no domain.") from None


def _as_json(finding: Finding) -> dict[str, str]:
    return {"level": finding.level.value, "about": finding.about, "text": finding.text}
