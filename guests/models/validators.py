"""Validators for the fields of events and promoters that staff fill in."""

from ipaddress import ip_network
from zoneinfo import available_timezones

from django.core.exceptions import ValidationError
from django.core.validators import RegexValidator
from django.utils.translation import gettext_lazy as _

code_validator = RegexValidator(
    r"^[a-z0-9][a-z0-9-]*$", _("Use small letters, digits and hyphens, beginning with a letter.")
)

# By IP version. A shorter prefix would exempt a large part of the internet from the address limit.
SHORTEST_PREFIX = {4: 16, 6: 32}


def validate_time_zone(name: str) -> None:
    if name not in available_timezones():
        raise ValidationError(_("Write a zone like Europe/Lisbon."))


def validate_networks(text: str) -> None:
    for word in text.split():
        try:
            network = ip_network(word)
        except ValueError:
            raise ValidationError(
                _("%(network)s is not a network like 198.51.100.0/24."),
                params={"network": word[:50]},
            ) from None
        if network.num_addresses > 2 ** (network.max_prefixlen - SHORTEST_PREFIX[network.version]):
            raise ValidationError(
                _("%(network)s is too large to be one venue's."), params={"network": word[:50]}
            )
