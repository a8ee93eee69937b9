"""Bulk emails carry the headers of RFC 8058. Tickets, codes and news about a place do not."""

import re

import pytest
from pytest_django import Settings

from notifications.kinds import bulk_kinds, known_kinds
from notifications.models import Email
from notifications.unsubscribing import find_subscriber, unsubscribe_headers, unsubscribe_url

ADDRESS = "ines.exemplo@example.com"
# RFC 8058, section 3.1: one HTTPS address, and no more than one mailto address beside it.
ADDRESSES = re.compile(r"<(https://[^<>\s]+)>(?:, <(mailto:[^<>\s]+)>)?")


def email_of(kind: str, pk: int = 17, to: str = ADDRESS) -> Email:
    return Email(pk=pk, kind=kind, cause="note:1", to=to, language="en")


@pytest.fixture(autouse=True)
def _public_address(settings: Settings) -> None:
    settings.PUBLIC_URL = "https://snap.example"


def test_bulk_kinds_have_the_headers_and_no_other_kind_has() -> None:
    assert set(bulk_kinds()) == {"bulk_note", "list_message", "reminder"}
    for kind in known_kinds():
        headers = unsubscribe_headers(email_of(kind))
        if kind not in bulk_kinds():
            assert headers == {}
            continue
        addresses = ADDRESSES.fullmatch(headers["List-Unsubscribe"])
        assert addresses
        assert addresses[1] == unsubscribe_url(email_of(kind))
        assert addresses[2] is None
        assert headers["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
        assert len(headers) == 2


@pytest.mark.parametrize("sender", ["sair@snap.example", "SNAP <sair@snap.example>"])
def test_a_setting_adds_an_address_for_mail_programs(settings: Settings, sender: str) -> None:
    settings.EMAIL_UNSUBSCRIBE_ADDRESS = sender
    header = unsubscribe_headers(email_of("bulk_note"))["List-Unsubscribe"]
    addresses = ADDRESSES.fullmatch(header)
    assert addresses
    assert addresses[2].startswith("mailto:sair@snap.example?subject=unsubscribe%20")
    assert header.isascii()


def test_the_domain_of_that_address_is_in_ascii(settings: Settings) -> None:
    settings.EMAIL_UNSUBSCRIBE_ADDRESS = "sair@faß.example"
    header = unsubscribe_headers(email_of("bulk_note"))["List-Unsubscribe"]
    assert "<mailto:sair@xn--fa-hia.example?" in header


def test_a_link_is_the_same_for_every_attempt_and_another_for_every_email() -> None:
    link = unsubscribe_url(email_of("bulk_note"))
    assert unsubscribe_url(email_of("bulk_note")) == link
    assert unsubscribe_url(email_of("bulk_note", pk=18)) != link
    assert unsubscribe_url(email_of("bulk_note", to="rui@example.com")) != link


def test_a_link_says_nothing_about_the_person() -> None:
    link = unsubscribe_url(email_of("bulk_note"))
    for part in ("ines", "exemplo", "example.com", "%40", "@"):
        assert part not in link
    # Mail programs fold long headers: an address of more than 998 characters would be cut.
    assert len(link) < 150


@pytest.mark.django_db
def test_a_link_leads_to_the_mailbox_of_its_email() -> None:
    email = Email.objects.create(kind="bulk_note", cause="note:1", to=ADDRESS, language="en")
    token = unsubscribe_url(email).split("/")[-2]
    subscriber = find_subscriber(token)
    assert subscriber
    assert (subscriber.email, subscriber.address) == (email, ADDRESS)
    Email.objects.update(to="rui@example.com")
    assert find_subscriber(token) is None
