"""A subdomain has the DMARC record of its organisation."""

import pytest

from notifications.sender_domains.dmarc import check_dmarc, organisation_of
from notifications.sender_domains.findings import Level
from notifications.sender_domains.lookups import Lookups
from tests.helpers.dns_server import NameServer, text

NONE, REJECT = (
    "v=DMARC1; p=none; rua=mailto:d@a.example",
    "v=DMARC1; p=reject; rua=mailto:d@a.example",
)


def publish(names: NameServer, records: dict[str, str]) -> None:
    """Publish DMARC records by the domain that they are about."""
    names.zone = {f"_dmarc.{name}": {"TXT": [text(record)]} for name, record in records.items()}


@pytest.mark.parametrize(
    ("records", "said"),
    [
        ({"snap.example": REJECT}, "_dmarc.snap.example says reject"),
        ({"snap.example": f"{NONE}; sp=reject"}, "_dmarc.snap.example says reject"),
        (
            {"mail.snap.example": REJECT, "snap.example": NONE},
            "_dmarc.mail.snap.example says reject",
        ),
    ],
)
def test_the_own_record_goes_before_that_of_the_organisation(
    names: NameServer, port: int, records: dict[str, str], said: str
) -> None:
    publish(names, records)
    result = check_dmarc("mail.snap.example", Lookups("127.0.0.1", port))
    assert [finding.level for finding in result.findings] == [Level.GOOD]
    assert said in result.findings[0].text


ORGANISATIONS: list[tuple[dict[str, str], str, str]] = [
    ({}, "a.b.snap.example", "snap.example"),
    ({"snap.example": NONE}, "a.b.snap.example", "snap.example"),
    ({"b.snap.example": NONE, "snap.example": NONE}, "a.b.snap.example", "snap.example"),
    (
        {"b.snap.example": f"{NONE}; psd=n", "snap.example": NONE},
        "a.b.snap.example",
        "b.snap.example",
    ),
    ({"com.example": f"{NONE}; psd=y"}, "mail.snap.com.example", "snap.com.example"),
]


@pytest.mark.parametrize(("records", "domain", "organisation"), ORGANISATIONS)
def test_the_organisation_is_found_by_its_records(
    names: NameServer, port: int, records: dict[str, str], domain: str, organisation: str
) -> None:
    publish(names, records)
    assert organisation_of(domain, Lookups("127.0.0.1", port)) == organisation


def test_a_long_name_is_not_asked_for_part_by_part(names: NameServer, port: int) -> None:
    publish(names, {})
    organisation_of(".".join("abcdefghijklmno") + ".snap.example", Lookups("127.0.0.1", port))
    assert len(names.questions) == 8
