"""The address of a client: from the connection, or from trusted proxies."""

import pytest
from django.test import Client, RequestFactory
from pytest_django import Settings

from snap.addresses import client_address


@pytest.mark.parametrize(
    ("proxies", "forwarded", "peer", "address"),
    [
        (0, "203.0.113.9", "192.0.2.1", "192.0.2.1"),
        (1, "203.0.113.9", "192.0.2.1", "203.0.113.9"),
        (1, "6.6.6.6, 203.0.113.9", "192.0.2.1", "203.0.113.9"),
        (2, "6.6.6.6, 203.0.113.9, 192.0.2.2", "192.0.2.1", "203.0.113.9"),
        (2, "203.0.113.9", "192.0.2.1", "203.0.113.9"),
        (1, "6.6.6.6, nonsense", "192.0.2.1", "192.0.2.1"),
        (1, "", "192.0.2.1", "192.0.2.1"),
        (1, "203.0.113.9:4711", "192.0.2.1", "203.0.113.9"),
        (1, "[2001:db8:1:2:3:4:5:6]:443", "192.0.2.1", "2001:db8:1:2::"),
        (0, "", "2001:db8:1:2:ffff:ffff:ffff:1", "2001:db8:1:2::"),
        (0, "", "fe80::1%eth0", "fe80::"),
        (0, "", "::ffff:192.0.2.7", "192.0.2.7"),
        (0, "", "", "0.0.0.0"),
    ],
)
def test_only_addresses_from_trusted_proxies_count(
    settings: Settings, proxies: int, forwarded: str, peer: str, address: str
) -> None:
    settings.TRUSTED_PROXIES = proxies
    headers = {"x-forwarded-for": forwarded} if forwarded else {}
    request = RequestFactory().get("/", headers=headers, REMOTE_ADDR=peer)
    assert client_address(request) == address


@pytest.mark.django_db
def test_a_forged_header_does_not_pass_a_limit(settings: Settings) -> None:
    settings.LIMIT_IP = 2
    forged = [{"x-forwarded-for": f"203.0.113.{number}"} for number in range(5)]
    statuses = [Client(headers=each).get("/promo/").status_code for each in forged]
    assert statuses == [200, 200, 429, 429, 429]
