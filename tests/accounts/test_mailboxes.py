"""Pages show an address masked, and guess the domain that was meant."""

import pytest

from accounts.mail_domains import COMMON_DOMAINS, MISTAKEN_DOMAINS, RIGHT_DOMAINS
from accounts.mailboxes import likely_domain, likely_email, masked_email


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


SLIPS = {
    "gmail.com": ["gmial", "gmai", "gmaill", "gnail", "gmsil", "gemail", "gmeil", "ggmail"],
    "hotmail.com": ["hotmal", "hotmial", "homtail"],
    "outlook.com": ["outlok", "outllok", "oulook", "outlokk"],
    "icloud.com": ["iclud", "icoud", "iclould", "icloudd"],
    "yahoo.com": ["yaho", "yahooo", "yhaoo", "uahoo"],
    "sapo.pt": ["spao", "sapoo", "ssapo"],
    "live.com.pt": ["lvie", "livve"],
    "netcabo.pt": ["netcavo", "netcbo"],
    "protonmail.com": ["protonmial", "protonmai"],
}
# Slips after the name.
ENDINGS = {
    "gmail.com": [
        "gmail.con",
        "gmail.co",
        "gmail.cm",
        "gmail.om",
        "gmail.comm",
        "gmail.cim",
        "gmailc.om",
        "gmail.ocm",
    ],
    "hotmail.com": ["hotmail.con", "hotmail.co", "hotmail.om", "hotmail.cmo"],
    "sapo.pt": ["sapo.p", "sapo.ptt", "sapo.ot", "sapo.tp", "sapo.pr"],
    "outlook.pt": ["outlook.p", "outlook.pr", "outlook.ptt"],
    "live.com.pt": ["live.com.p", "live.compt", "live.cpm.pt", "live.con.pt"],
    "yahoo.com.br": ["yahoo.com.b", "yahoo.con.br"],
    "meo.pt": ["meo.p", "meo.tp", "emo.pt"],
    "me.com": ["me.con", "me.cm"],
    "msn.com": ["mns.com", "msn.con"],
}
SLIPPED = {
    **{
        f"{name}{meant[meant.index('.') :]}": meant
        for meant, names in SLIPS.items()
        for name in names
    },
    **{typed: meant for meant, typed_ones in ENDINGS.items() for typed in typed_ones},
    "GMIAL.com": "gmail.com",
    "gmail.pt": "gmail.com",
    "gmail.com.br": "gmail.com",
}


@pytest.mark.parametrize("domain", SLIPPED)
def test_a_domain_with_one_slip_is_recognised(domain: str) -> None:
    assert likely_email(f"maria@{domain}") == f"maria@{SLIPPED[domain]}"


RIGHT = [
    "example.com",
    "hotmail.fr",
    "outlook.pt",
    "live.pt",
    "gmx.at",
    "gmx.ch",
    "hotmail.co.uk",
    "yahoo.co.uk",
    "yahoo.co.jp",
    "neo.pt",
    "mel.pt",
    "mao.pt",
    "nas.pt",
    "ios.pt",
    "il.pt",
    "man.com",
    "men.com",
    "he.com",
    "all.com",
    "col.com",
    "weg.de",
    "wen.de",
    "x.y",
    "a.pt",
    "gmail.example.com",
    "snap.example",
    "mygmail.com",
    "hotmailer.com",
    "outlook-mail.com",
    "live.ca",
    "live.fi",
    "sapo.com",
    "outlook.jp",
    "yahoo.pl",
    "hotmail.fi",
]


@pytest.mark.parametrize(
    "domain", ["", *RIGHT, *sorted({*COMMON_DOMAINS, *RIGHT_DOMAINS}), "GMAIL.COM"]
)
def test_other_domains_are_right_as_they_are(domain: str) -> None:
    assert likely_email(f"maria@{domain}") == ""


def test_common_domains_are_not_taken_for_each_other() -> None:
    """Each would be corrected to the other if it was not in the list."""
    assert len(set(COMMON_DOMAINS)) == len(COMMON_DOMAINS) >= 40
    assert not RIGHT_DOMAINS & (set(COMMON_DOMAINS) | set(MISTAKEN_DOMAINS))


@pytest.mark.parametrize("email", ["", "@", "maria", "maria@", "a@" + "x" * 300, "é@gmaıl.com"])
def test_texts_that_are_no_address_mean_nothing(email: str) -> None:
    likely_domain(email)


def test_other_names_are_kept_as_they_are() -> None:
    assert likely_email('"a@b"+X@gmial.com') == '"a@b"+X@gmail.com'
