"""A name that does not exist is one thing, and a name server that does not say so is another."""

import pytest

from notifications.sender_domains.lookups import LookupFailedError, Lookups
from tests.helpers.dns_server import GARBAGE, REFUSED, SERVFAIL, SILENT, NameServer, text


@pytest.fixture
def lookups(names: NameServer, port: int) -> Lookups:
    names.zone = {
        "snap.example": {"TXT": ['"v=spf1 " "mx ~all"', '"other"'], "MX": ["10 Mx.snap.example."]},
        "alias.example": {"CNAME": ["snap.example."]},
        "dangling.example": {"CNAME": ["gone.snap.example."]},
        "a.empty.example": {"A": ["198.51.100.1"]},
        "long.example": {"TXT": [text("k" * 1800)]},
        "mx.snap.example": {"A": ["198.51.100.7"], "AAAA": ["2001:db8::7"]},
        "7.100.51.198.in-addr.arpa": {"PTR": ["mx.snap.example."]},
    }
    return Lookups("127.0.0.1", port, seconds=0.3)


def test_the_strings_of_a_text_are_one_value(lookups: Lookups) -> None:
    assert set(lookups.texts("snap.example").values) == {"v=spf1 mx ~all", "other"}


def test_no_record_and_no_name_are_told_apart(lookups: Lookups) -> None:
    for name, exists in [
        ("mx.snap.example", True),
        ("empty.example", True),
        ("gone.example", False),
    ]:
        answer = lookups.texts(name)
        assert (answer.values, answer.exists) == ([], exists)


def test_aliases_are_followed_and_named(lookups: Lookups) -> None:
    assert len(lookups.texts("alias.example").values) == 2
    assert lookups.texts("alias.example").alias == "snap.example"
    answer = lookups.texts("dangling.example")
    assert (answer.values, answer.alias) == ([], "gone.snap.example")


def test_a_long_record_is_asked_for_over_tcp(lookups: Lookups, names: NameServer) -> None:
    assert lookups.texts("long.example").values == ["k" * 1800]
    assert names.over_tcp == 1


def test_addresses_and_names_lead_to_each_other(lookups: Lookups) -> None:
    assert lookups.addresses("mx.snap.example") == ["198.51.100.7", "2001:db8::7"]
    assert lookups.names_of("198.51.100.7") == ["mx.snap.example"]
    assert lookups.names_of("2001:db8::1") == []


@pytest.mark.parametrize("name", ["x" * 64 + ".example", "a..example", ".".join(["a" * 60] * 5)])
def test_an_impossible_name_does_not_exist(lookups: Lookups, name: str) -> None:
    assert not lookups.texts(name).exists


@pytest.mark.parametrize(
    ("failure", "said"),
    [
        (SERVFAIL, "responded with SERVFAIL"),
        (REFUSED, "responded with REFUSED"),
        (SILENT, "did not respond within 0.3 s"),
        (GARBAGE, "snap.example"),
    ],
)
def test_each_failure_of_the_name_server_has_its_own_sentence(
    lookups: Lookups, names: NameServer, failure: str, said: str
) -> None:
    names.zone["snap.example"] = failure
    with pytest.raises(LookupFailedError, match=said) as raised:
        lookups.texts("snap.example")
    assert "TXT records of snap.example" in str(raised.value)


def test_no_network_is_said(names: NameServer) -> None:
    # The system refuses to send to this address.
    with pytest.raises(LookupFailedError, match="There is no network to the name server"):
        Lookups("255.255.255.255", 53, seconds=0.3).texts("snap.example")
