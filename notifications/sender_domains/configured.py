"""How this installation sends emails, by its settings."""

from dataclasses import dataclass
from email.utils import parseaddr
from ipaddress import ip_address

from django.conf import settings

from notifications.sender_domains.checks import Sending
from notifications.sender_domains.lookups import LookupFailedError, Lookups
from notifications.sender_domains.providers import PROVIDERS
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
    """Return the providers of the settings that send to the internet."""
    names = [settings.EMAIL_PROVIDER, getattr(settings, "EMAIL_FALLBACK_PROVIDER", "")]
    return [name for name in names if name in PROVIDERS]


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
        selectors=overrides.selectors or tuple(settings.EMAIL_DKIM_SELECTORS),
        addresses=addresses,
        are_guessed=not overrides.addresses,
        is_encrypted=settings.EMAIL_USE_TLS or _is_this_machine(settings.EMAIL_HOST),
    )


def _bounce_domain(domain: str, provider: str, overrides: Overrides, signing: str) -> str:
    """Return the domain of the envelope's sender, "" when only the provider knows it."""
    if named := overrides.bounce_domain or settings.EMAIL_BOUNCE_DOMAIN:
        return ascii_domain(named)
    if prefix := PROVIDERS[provider].bounce_prefix:
        return f"{prefix}.{domain}"
    if provider == "sendgrid":
        return ""
    return signing


def _server_addresses(lookups: Lookups) -> tuple[str, ...]:
    """Return the public addresses of EMAIL_HOST. Other hosts may send for it."""
    host = settings.EMAIL_HOST
    addresses: list[str] = [host]
    if not _is_address(host):
        try:
            addresses = lookups.addresses(host)
        except LookupFailedError:
            return ()
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
