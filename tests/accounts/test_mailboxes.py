"""Pages show an address masked, and guess the domain that was meant."""

import pytest

from accounts.mailboxes import likely_email, masked_email


@pytest.mark.parametrize(
    ("email", "shown"),
    [
        ("maria@gmial.com", "m•••@gmial.com"),
        ("Maria.Silva+a@example.com", "M•••@example.com"),
        ("mm@example.com", "m•••@example.com"),
        ("m@example.com", "•••@example.com"),
        ("é@example.com", "•••@example.com"),
        ("e\u0301@example.com", "•••@example.com"),
        ("e\u0301va@example.com", "e\u0301•••@example.com"),
        ('"a@b"@example.com', '"•••@example.com'),
        ("", ""),
    ],
)
def test_only_the_first_letter_of_a_name_is_shown(email: str, shown: str) -> None:
    assert masked_email(email) == shown


@pytest.mark.parametrize(
    "domain",
    ["gmial.com", "gmai.com", "gmaill.com", "gnail.com", "gmail.con", "GMIAL.com", "gmail.co"],
)
def test_a_domain_with_one_slip_is_recognised(domain: str) -> None:
    assert likely_email(f"maria@{domain}") == "maria@gmail.com"


@pytest.mark.parametrize(
    "domain",
    ["gmail.com", "GMAIL.COM", "mail.com", "email.com", "outlook.pt", "example.com", "hotmail.fr"],
)
def test_other_domains_are_right_as_they_are(domain: str) -> None:
    assert likely_email(f"maria@{domain}") == ""
