"""A name server for the zones of these tests."""

from collections.abc import Iterator
from typing import Any

import pytest

from notifications.sender_domains.checks import Sending, check_domain
from notifications.sender_domains.findings import Finding
from notifications.sender_domains.lookups import Lookups
from tests.helpers.dns_server import NameServer, Zone, running
from tests.helpers.sender_zones import DOMAIN, Check


@pytest.fixture(scope="module")
def _server() -> Iterator[tuple[NameServer, int]]:
    names = NameServer()
    with running(names) as port:
        yield names, port


@pytest.fixture
def names(_server: tuple[NameServer, int]) -> NameServer:
    names, _ = _server
    names.zone, names.questions, names.over_tcp = {}, [], 0
    return names


@pytest.fixture
def port(_server: tuple[NameServer, int]) -> int:
    return _server[1]


@pytest.fixture
def check(names: NameServer, port: int) -> Check:
    """Return a function that checks the sender domain snap.example in a zone."""

    def check_zone(zone: Zone, provider: str = "resend", **changes: Any) -> list[Finding]:
        names.zone = dict(zone)
        defaults: dict[str, dict[str, Any]] = {
            "resend": {"bounce_domain": "send.snap.example", "signing_domain": DOMAIN},
            "sendgrid": {"bounce_domain": "em1234.snap.example", "signing_domain": DOMAIN},
            "mailgun": {"bounce_domain": "mg.snap.example", "signing_domain": "mg.snap.example"},
            "smtp": {
                "bounce_domain": DOMAIN,
                "signing_domain": DOMAIN,
                "selectors": ("s2027",),
                "addresses": ("198.51.100.7",),
            },
        }
        sending = Sending(provider=provider, **{**defaults[provider], **changes})
        return check_domain(DOMAIN, sending, Lookups("127.0.0.1", port, seconds=0.5))

    return check_zone
