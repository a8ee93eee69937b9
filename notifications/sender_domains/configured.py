"""How this installation sends emails, by its settings."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from email.utils import parseaddr
from ipaddress import ip_address

from django.conf import settings

from notifications.sender_domains.checks import Sending
from notifications.sender_domains.lookups import LookupFailedError, Lookups
from notifications.sender_domains.providers import PROVIDERS, ProviderRules
from snap.mail_addresses import ascii_domain


@dataclass(frozen=True)
class Overrides:
    """What the command's arguments say in place of the settings; empty values say nothing."""

    selectors: tuple[str, ...] = ()
    bounce_domain: str = ""
    addresses: tuple[str, ...] = ()


def sender_domains() -> list[str]:
    """Return the domains of all senders in the settings, in ASCII and without repetition."""
    senders = [settings.DEFAULT_FROM_EMAIL, *settings.EMAIL_SENDERS.values()]
    domains = [parseaddr(sender)[1].rpartition("@")[2] for sender in senders]
    return sorted({ascii_domain(domain) for domain in domains})


def sending_providers() -> list[str]:
    """Return the providers of the settings that send to the internet, without repetition."""
    names = [settings.EMAIL_PROVIDER, settings.EMAIL_FALLBACK_PROVIDER]
    return list(dict.fromkeys(name for name in names if name in PROVIDERS))


def _mail_servers() -> list[str]:
    """Return how the names of the settings of each mail server begin."""
    servers = []
    if settings.EMAIL_PROVIDER == "smtp":
        servers.append("EMAIL")
    if settings.EMAIL_FALLBACK_PROVIDER == "smtp":
        servers.append("EMAIL_FALLBACK")
    # Another provider than those of the settings can be checked too.
    return servers or ["EMAIL"]


def find_sending(domain: str, provider: str, overrides: Overrides, lookups: Lookups) -> Sending:
    """Return how emails from a domain are sent through a provider."""
    signing_domain = domain
    if provider == "mailgun":
        signing_domain = str(settings.ANYMAIL["MAILGUN_SENDER_DOMAIN"]) or domain
    addresses: tuple[str, ...] = ()
    if provider == "smtp":
        addresses = overrides.addresses or _server_addresses(lookups)
    return Sending(
        provider=provider,
        bounce_domain=_bounce_domain(domain, provider, overrides, signing_domain),
        signing_domain=signing_domain,
        selectors=overrides.selectors or _selectors(provider),
        addresses=addresses,
        are_guessed=not overrides.addresses,
        tls_settings=tuple(_missing_encryption()),
    )


def _selectors(provider: str) -> tuple[str, ...]:
    """Return the selectors of the settings, () for those that the provider uses."""
    if _is_setting_for(provider, lambda rules: bool(rules.selectors) and rules.needs_all_selectors):
        return tuple(settings.EMAIL_DKIM_SELECTORS)
    return ()


def _is_setting_for(provider: str, is_known: Callable[[ProviderRules], bool]) -> bool:
    """Return whether a setting is meant for a provider.

    Of two providers it is the one whose own value is not known. It is both if none or each is.
    """
    if not is_known(PROVIDERS[provider]):
        return True
    return all(is_known(PROVIDERS[name]) for name in sending_providers())


def _bounce_domain(domain: str, provider: str, overrides: Overrides, signing: str) -> str:
    """Return the domain of the envelope's sender, "" when only the provider knows it."""
    named = overrides.bounce_domain
    if _is_setting_for(provider, lambda rules: bool(rules.bounce_prefix)):
        named = named or settings.EMAIL_BOUNCE_DOMAIN
    if named:
        return ascii_domain(named)
    if prefix := PROVIDERS[provider].bounce_prefix:
        return f"{prefix}.{domain}"
    if provider == "sendgrid":
        return ""
    return signing


def _missing_encryption() -> Iterator[str]:
    """Yield the settings that would encrypt the way to a mail server on another machine."""
    for server in _mail_servers():
        setting = f"{server}_USE_TLS"
        if not getattr(settings, setting) and not _is_this_machine(_host_of(server)):
            yield setting


def _host_of(server: str) -> str:
    host: str = getattr(settings, f"{server}_HOST")
    return host


def _server_addresses(lookups: Lookups) -> tuple[str, ...]:
    """Return the public addresses of the mail servers. Other hosts may send for them."""
    addresses: list[str] = []
    for host in map(_host_of, _mail_servers()):
        if _is_address(host):
            addresses.append(host)
            continue
        with suppress(LookupFailedError):
            addresses += lookups.addresses(host)
    return tuple(address for address in addresses if ip_address(address).is_global)


def _is_this_machine(host: str) -> bool:
    if _is_address(host):
        return ip_address(host).is_loopback
    return host == "localhost"


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True
