"""Validators and a field for what staff fill in about events and promoters."""

from ipaddress import ip_network
from typing import Any
from zoneinfo import available_timezones

from django.core.exceptions import ValidationError
from django.core.validators import RegexValidator
from django.utils.translation import gettext_lazy as _

from snap.text import clean_line
from snap.text_fields import Get, LineField, Set

code_validator = RegexValidator(
    r"^[a-z0-9][a-z0-9-]*$", _("Use small letters, digits and hyphens, beginning with a letter.")
)


class CodeField(LineField[Set, Get]):
    """A part of a promo link. Capitals that staff type become small letters in any form."""

    @staticmethod
    def cleaner(text: str) -> str:
        return clean_line(text).lower()

    def to_python(self, value: Any) -> Any:
        text = super().to_python(value)
        if isinstance(text, str):
            return text.strip().lower()
        return text


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
