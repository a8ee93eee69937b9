"""Each thing that can be wrong with a sender domain is found, and named in one sentence."""

from typing import Any

import pytest

from notifications.sender_domains.findings import Finding, Level
from tests.helpers.dns_server import REFUSED, SERVFAIL, NameServer, Zone, text
from tests.helpers.sender_zones import (
    BARE_KEY_1024,
    DKIM,
    DMARC,
    DOMAIN,
    ED25519_KEY,
    KEY_512,
    KEY_1024,
    KEY_2048,
    MAILGUN,
    MX,
    OWN_SERVER,
    RESEND,
    SENDGRID,
    Check,
)

ZONES = {"resend": RESEND, "sendgrid": SENDGRID, "mailgun": MAILGUN, "smtp": OWN_SERVER}
DKIM_NAME = "resend._domainkey.snap.example"
DMARC_NAME = "_dmarc.snap.example"
BOUNCES = "send.snap.example"
BOUNCE_MX = {"MX": ["10 feedback-smtp.eu-west-1.amazonses.com."]}


def txt(*values: str) -> dict[str, list[str]]:
    return {"TXT": [text(value) for value in values]}


def spf(*records: str) -> Zone:
    """Return the zone with these SPF records where bounces go."""
    return {BOUNCES: {**BOUNCE_MX, **txt(*records)}}


def dkim(*records: str) -> Zone:
    return {DKIM_NAME: txt(*records)}


def dmarc(*records: str) -> Zone:
    return {DMARC_NAME: txt(*records)}


def without(zone: Zone, *names: str) -> Zone:
    return {name: records for name, records in zone.items() if name not in names}


def texts_of(findings: list[Finding], level: Level) -> list[str]:
    return [f"{each.about}: {each.text}" for each in findings if each.level is level]


@pytest.mark.parametrize("provider", ZONES)
def test_a_domain_with_all_records_has_nothing_missing(check: Check, provider: str) -> None:
    findings = check(ZONES[provider], provider)
    assert {finding.level for finding in findings} == {Level.GOOD}
    abouts = {finding.about for finding in findings}
    assert {"replies", "SPF", "DKIM", "DMARC", "alignment"} <= abouts
    for finding in findings:
        assert finding.text.endswith(".")


CHAIN = {
    f"c{number}.example": txt(f"v=spf1 include:c{number + 1}.example ~all") for number in range(12)
}

# What is wrong, by the zone's changes, and parts of the sentence.
MISSING: dict[str, tuple[Zone, str, list[str]]] = {
    # SPF
    "no SPF": (
        {BOUNCES: BOUNCE_MX},
        "SPF",
        ["Add a TXT record at send.snap.example", "include:amazonses.com"],
    ),
    "two SPF records": (
        spf("v=spf1 include:amazonses.com ~all", "v=spf1 mx ~all"),
        "SPF",
        ["2 SPF records", "one"],
    ),
    "another provider": (
        spf("v=spf1 include:sendgrid.net ~all"),
        "SPF",
        ["Add include:amazonses.com"],
    ),
    "the provider after all": (
        spf("v=spf1 ~all include:amazonses.com"),
        "SPF",
        ["Add include:amazonses.com before `all`"],
    ),
    "the provider neutral": (spf("v=spf1 ?include:amazonses.com ~all"), "SPF", ["Add include:"]),
    "everybody": (spf("v=spf1 include:amazonses.com +all"), "SPF", ["~all in place of +all"]),
    "everybody, without a sign": (spf("v=spf1 include:amazonses.com all"), "SPF", ["+all"]),
    "an unknown term": (
        spf("v=spf1 include:amazonses.com ipv4:1.2.3.4 ~all"),
        "SPF",
        ["`ipv4:1.2.3.4`"],
    ),
    "no address": (spf("v=spf1 ip4:1.2.3 include:amazonses.com ~all"), "SPF", ["ip4:1.2.3"]),
    "a wrong version": (
        spf("v=spf1 ip4:2001:db8::1 include:amazonses.com ~all"),
        "SPF",
        ["ip4:2001:db8::1"],
    ),
    "an include without a record": (
        spf("v=spf1 include:amazonses.com include:gone.example ~all"),
        "SPF",
        ["include of gone.example"],
    ),
    "too many lookups": (
        {**spf("v=spf1 include:amazonses.com include:c0.example ~all"), **CHAIN},
        "SPF",
        ["more than 10"],
    ),
    "an include of itself": (
        {
            **spf("v=spf1 include:loop.example ~all"),
            "loop.example": txt("v=spf1 include:loop.example ~all"),
        },
        "SPF",
        ["more than 10"],
    ),
    "too many names without records": (
        spf("v=spf1 a:a.example a:b.example mx:c.example include:amazonses.com ~all"),
        "SPF",
        ["names that do not exist"],
    ),
    "another word": (spf("v=spf10 include:amazonses.com ~all"), "SPF", ["Add a TXT record"]),
    "two records at the sender": (
        {DOMAIN: {**MX, **txt("v=spf1 mx -all", "v=spf1 a -all")}},
        "SPF",
        ["2 SPF records of snap.example"],
    ),
    "no way for bounces": (
        {BOUNCES: txt("v=spf1 include:amazonses.com ~all")},
        "SPF",
        ["Add the MX record at send.snap.example"],
    ),
    # DKIM
    "no DKIM": ({DKIM_NAME: {}}, "DKIM", [f"Add the DKIM record at {DKIM_NAME} that Resend shows"]),
    "a revoked key": (dkim("v=DKIM1; k=rsa; p="), "DKIM", ["revokes"]),
    "a short key": (dkim(f"v=DKIM1; p={KEY_512}"), "DKIM", ["it has 512", "fewer than 1024"]),
    "a cut key": (dkim(f"v=DKIM1; p={KEY_2048[:200]}"), "DKIM", ["cannot be read"]),
    "a key with other signs": (dkim("v=DKIM1; p=<public key>"), "DKIM", ["cannot be read"]),
    "an unknown kind of key": (dkim(f"v=DKIM1; k=dsa; p={KEY_2048}"), "DKIM", ["cannot be read"]),
    "another version": (dkim(f"v=DKIM2; p={KEY_2048}"), "DKIM", ["v=DKIM1"]),
    "two keys": (dkim(DKIM, f"v=DKIM1; p={KEY_1024}"), "DKIM", ["all DKIM records", "but one"]),
    "an alias to nothing": (
        {DKIM_NAME: {"CNAME": ["gone.dkim.example."]}},
        "DKIM",
        ["CNAME", "gone.dkim.example"],
    ),
    # DMARC
    "no DMARC": ({DMARC_NAME: {}}, "DMARC", ["Add a TXT record at _dmarc.snap.example", "p=none"]),
    "two DMARC records": (
        dmarc(DMARC, "v=DMARC1; p=none"),
        "DMARC",
        ["all DMARC records", "but one"],
    ),
    "no policy": (dmarc("v=DMARC1; rua=mailto:d@snap.example"), "DMARC", ["Write p=none"]),
    "an unknown policy": (dmarc("v=DMARC1; p=monitor"), "DMARC", ["Write p=none"]),
    "another case": (dmarc("v=dmarc1; p=none"), "DMARC", ["v=DMARC1; exactly"]),
    "a policy before the version": (dmarc("p=none; v=DMARC1"), "DMARC", ["v=DMARC1; exactly"]),
    # The domain itself
    "no server for replies": ({DOMAIN: {}}, "replies", ["Add an MX record for snap.example"]),
    "a domain that receives nothing": ({DOMAIN: {"MX": ["0 ."]}}, "replies", ["receives no email"]),
}


@pytest.mark.parametrize("wrong", MISSING)
def test_what_is_missing_is_said_in_one_sentence(check: Check, wrong: str) -> None:
    changes, about, parts = MISSING[wrong]
    found = texts_of(check({**RESEND, **changes}), Level.MISSING)
    assert len(found) == 1, found
    assert found[0].startswith(f"{about}: ")
    for part in parts:
        assert part in found[0]


ADVICE: dict[str, tuple[Zone, str]] = {
    "no end": (spf("v=spf1 include:amazonses.com"), "End the SPF record"),
    "a neutral end": (spf("v=spf1 include:amazonses.com ?all"), "End the SPF record"),
    "ptr": (spf("v=spf1 ptr include:amazonses.com ~all"), "Remove ptr"),
    "a key of 1024 bits": (dkim(f"v=DKIM1; p={KEY_1024}"), "it has 1024"),
    "a bare key of 1024 bits": (dkim(f"p={BARE_KEY_1024}"), "it has 1024"),
    "a test": (dkim(f"{DKIM}; t=y:s"), "t=y"),
    "Ed25519": (dkim(f"v=DKIM1; k=ed25519; p={ED25519_KEY}"), "RSA key"),
    "reports only": (dmarc("v=DMARC1; p=none; rua=mailto:d@snap.example"), "p=quarantine"),
    "no reports": (dmarc("v=DMARC1; p=reject"), "rua="),
    "a web server only": ({DOMAIN: {"A": ["198.51.100.1"]}}, "MX record"),
}


@pytest.mark.parametrize("weak", ADVICE)
def test_what_could_be_better_is_advice(check: Check, weak: str) -> None:
    changes, part = ADVICE[weak]
    findings = check({**RESEND, **changes})
    assert not texts_of(findings, Level.MISSING)
    assert any(part in each for each in texts_of(findings, Level.ADVICE))


FINE: dict[str, Zone] = {
    "capitals": spf("V=SPF1 INCLUDE:AmazonSES.com ~ALL"),
    "a redirect": {
        **spf("v=spf1 redirect=spf.snap.example"),
        "spf.snap.example": txt("v=spf1 include:amazonses.com -all"),
    },
    "an include in an include": {
        **spf("v=spf1 include:spf.snap.example -all"),
        "spf.snap.example": txt("v=spf1 include:amazonses.com -all"),
    },
    "ten lookups": {
        **spf("v=spf1 include:amazonses.com include:c3.example ~all"),
        **CHAIN,
        "c11.example": txt("v=spf1 ~all"),
    },
    "other TXT records": spf(
        "google-site-verification=abc", "v=spf1 include:amazonses.com ~all", ""
    ),
    "an unknown modifier": spf("v=spf1 include:amazonses.com exp=e.example xyz=1 ~all"),
    "a macro": spf("v=spf1 include:amazonses.com exists:%{i}.spf.example ~all"),
    "spaces in a key": dkim(f"v=DKIM1 ; k = rsa ; p = {KEY_2048[:100]} {KEY_2048[100:]}"),
    "a key without version": dkim(f"k=rsa; p={KEY_2048}"),
    "spaces in DMARC": dmarc("v = DMARC1 ; p = reject ; rua = mailto:d@snap.example"),
    "capitals in DMARC": dmarc("v=DMARC1; p=Reject; rua=mailto:d@snap.example"),
    "another record at _dmarc": dmarc("verification=1", DMARC),
    "an own record of the sender": {DOMAIN: {**MX, **txt("v=spf1 -all")}},
}


@pytest.mark.parametrize("fine", FINE)
def test_other_spellings_are_right(check: Check, fine: str) -> None:
    findings = check({**RESEND, **FINE[fine]})
    assert {finding.level for finding in findings} == {Level.GOOD}, findings


# Domains that do not exist ------------------------------------------------------------------------


def test_a_reserved_domain_leads_to_the_setting(check: Check) -> None:
    assert texts_of(check({}), Level.MISSING) == [
        "domain: Set DEFAULT_FROM_EMAIL: snap.example is reserved for examples."
    ]


# What could not be looked up ----------------------------------------------------------------------


@pytest.mark.parametrize("failure", [SERVFAIL, REFUSED])
@pytest.mark.parametrize(
    ("name", "about"), [(BOUNCES, "SPF"), (DKIM_NAME, "DKIM"), (DMARC_NAME, "DMARC")]
)
def test_a_failure_of_the_name_server_is_not_a_missing_record(
    check: Check, failure: str, name: str, about: str
) -> None:
    findings = check({**RESEND, name: failure})
    unknown = texts_of(findings, Level.UNKNOWN)
    assert [each for each in unknown if each.startswith(about) and failure in each and name in each]
    assert not texts_of(findings, Level.MISSING)


# Alignment ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("record", "is_good"),
    [
        (DMARC, True),
        (f"{DMARC}; adkim=s; aspf=r", True),
        (f"{DMARC}; adkim=r; aspf=s", True),
        (f"{DMARC}; adkim=s; aspf=s", False),
    ],
)
def test_strict_alignment_wants_the_same_domain(check: Check, record: str, is_good: bool) -> None:
    """Mailgun signs for mg.snap.example, and the sender is at snap.example."""
    findings = check({**MAILGUN, **dmarc(record)}, "mailgun")
    assert bool(texts_of(findings, Level.MISSING)) is not is_good
    about = [each for each in findings if each.about == "alignment"]
    assert [each.level for each in about] == [Level.GOOD if is_good else Level.MISSING]


def test_another_domain_is_not_aligned(check: Check) -> None:
    zone = {
        **MAILGUN,
        "mg.other.example": MAILGUN["mg.snap.example"],
        "mailo._domainkey.mg.other.example": txt(DKIM),
    }
    findings = check(
        zone, "mailgun", bounce_domain="mg.other.example", signing_domain="mg.other.example"
    )
    assert [each for each in texts_of(findings, Level.MISSING) if "mg.other.example" in each]


@pytest.mark.parametrize("broken", [DKIM_NAME, BOUNCES])
def test_one_of_spf_and_dkim_is_enough_for_dmarc(check: Check, broken: str) -> None:
    findings = check(without(RESEND, broken))
    assert [each.level for each in findings if each.about == "alignment"] == [Level.GOOD]
    findings = check(without(RESEND, DKIM_NAME, BOUNCES))
    assert [each.level for each in findings if each.about == "alignment"] == [Level.MISSING]


# Providers ----------------------------------------------------------------------------------------


def test_both_keys_of_sendgrid_are_needed(check: Check) -> None:
    findings = check(without(SENDGRID, "s2._domainkey.snap.example"), "sendgrid")
    (found,) = texts_of(findings, Level.MISSING)
    assert "s2._domainkey.snap.example that SendGrid shows" in found


def test_one_of_mailguns_keys_is_enough(check: Check) -> None:
    findings = check(without(MAILGUN, "mailo._domainkey.mg.snap.example"), "mailgun")
    (found,) = texts_of(findings, Level.MISSING)
    assert "name its selector with --selector" in found
    zone = {**MAILGUN, "k7._domainkey.mg.snap.example": txt(DKIM)}
    findings = check(
        without(zone, "mailo._domainkey.mg.snap.example"), "mailgun", selectors=("k7",)
    )
    assert not texts_of(findings, Level.MISSING)


def test_the_bounce_domain_of_sendgrid_has_to_be_named(check: Check) -> None:
    findings = check(SENDGRID, "sendgrid", bounce_domain="")
    (found,) = texts_of(findings, Level.UNKNOWN)
    assert "--bounce-domain" in found


# An own mail server -------------------------------------------------------------------------------

PTR = "7.100.51.198.in-addr.arpa"


@pytest.mark.parametrize(
    ("changes", "part"),
    [
        ({DOMAIN: {**MX, **txt("v=spf1 ip4:203.0.113.0/24 -all")}}, "Add ip4:198.51.100.7"),
        ({DOMAIN: {**MX, **txt("v=spf1 -mx ~all")}}, "Add ip4:198.51.100.7"),
        ({DOMAIN: {**MX, **txt("v=spf1 a/24 ~all")}}, "Add ip4:198.51.100.7"),
        ({DOMAIN: MX}, '"v=spf1 mx ~all"'),
        ({PTR: {}}, "PTR record"),
        ({PTR: {"PTR": ["other.example."]}}, "Add an address record for other.example"),
        ({PTR: {"PTR": ["o.example."]}, "o.example": {"A": ["198.51.100.8"]}}, "o.example"),
    ],
)
def test_an_own_server_needs_spf_and_a_name(check: Check, changes: Zone, part: str) -> None:
    zone = {**OWN_SERVER, **changes}
    assert [each for each in texts_of(check(zone, "smtp"), Level.MISSING) if part in each]
    guessed = check(zone, "smtp", are_guessed=True)
    assert not [each for each in texts_of(guessed, Level.MISSING) if "198.51" in each]


@pytest.mark.parametrize(
    "records",
    [
        txt("v=spf1 mx -all", "v=spf1 -all"),
        txt("v=spf1 mx +all"),
        txt("v=spf1 mxx -all"),
        txt("v=spf1 include:none.snap.example -all"),
        txt("v=spf1 " + "a " * 11 + "-all"),
        {},
    ],
)
def test_what_is_missing_for_any_address_is_no_guess(check: Check, records: Any) -> None:
    zone = {**OWN_SERVER, DOMAIN: {**MX, **records}}
    assert len(texts_of(check(zone, "smtp", are_guessed=True), Level.MISSING)) == 1


@pytest.mark.parametrize(
    "record",
    [
        "v=spf1 ip4:198.51.100.0/24 -all",
        "v=spf1 a:mx.snap.example -all",
        "v=spf1 mx -all",
        "v=spf1 a:mx.snap.example/24 ~all",
        "v=spf1 mx/28 ~all",
    ],
)
def test_each_way_to_name_a_server_counts(check: Check, record: str) -> None:
    zone = {**OWN_SERVER, DOMAIN: {**MX, **txt(record)}}
    assert not texts_of(check(zone, "smtp"), Level.MISSING)


def test_an_own_server_without_values_is_not_checked(check: Check) -> None:
    findings = check(
        OWN_SERVER, "smtp", selectors=(), addresses=(), tls_settings=("EMAIL_USE_TLS",)
    )
    unknown = " ".join(texts_of(findings, Level.UNKNOWN))
    assert "--selector" in unknown
    assert "--address" in unknown
    assert "EMAIL_USE_TLS" in " ".join(texts_of(findings, Level.ADVICE))


def test_questions_are_asked_once(check: Check, names: NameServer) -> None:
    check(RESEND)
    assert len(names.questions) == len(set(names.questions))
