"""`manage.py check_email_domain`: sentences for people, and an exit status for scripts."""

import json
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from pytest_django import Settings

from tests.helpers.dns_server import NameServer, Zone, text
from tests.helpers.sender_zones import DKIM, DOMAIN, MAILGUN, OWN_SERVER, RESEND, SENDGRID


@pytest.fixture(autouse=True)
def _senders(settings: Settings) -> None:
    settings.DEFAULT_FROM_EMAIL = f"SNAP <no-reply@{DOMAIN}>"
    settings.EMAIL_SENDERS = {}
    settings.EMAIL_PROVIDER = "resend"


@pytest.fixture
def where(names: NameServer, port: int) -> str:
    names.zone = dict(RESEND)
    return f"127.0.0.1:{port}"


def run(where: str, *arguments: str) -> tuple[int, str]:
    """Return the exit status of the command and what it prints."""
    output = StringIO()
    try:
        call_command("check_email_domain", "--nameserver", where, *arguments, stdout=output)
    except SystemExit as end:
        return int(str(end.code)), output.getvalue()
    return 0, output.getvalue()


def test_a_right_domain_ends_with_0(where: str) -> None:
    status, output = run(where)
    assert status == 0
    lines = output.splitlines()
    assert lines[0] == "snap.example (Resend)"
    assert lines[-1] == f"{len(lines) - 2} good"
    for line in lines[1:-1]:
        assert line.startswith("  good: ")


def test_a_missing_record_ends_with_1(where: str, names: NameServer) -> None:
    del names.zone["resend._domainkey.snap.example"]
    status, output = run(where)
    assert status == 1
    assert "  missing: DKIM: Add the DKIM record at resend._domainkey.snap.example" in output
    assert output.splitlines()[-1].startswith("1 missing, ")


def test_what_was_not_checked_ends_with_2(where: str, names: NameServer) -> None:
    names.zone["send.snap.example"] = "SERVFAIL"
    status, output = run(where)
    assert status == 2
    assert "  not checked: SPF: " in output
    del names.zone["resend._domainkey.snap.example"]
    assert run(where)[0] == 1


@pytest.mark.django_db(databases=[])
def test_it_needs_no_database(where: str) -> None:
    """pytest-django refuses each query of this test."""
    assert run(where)[0] == 0


def test_scripts_can_read_it(where: str) -> None:
    _, output = run(where, "--json")
    (findings,) = json.loads(output).values()
    assert {finding["level"] for finding in findings} == {"good"}
    assert all(finding.keys() == {"level", "about", "text"} for finding in findings)


def test_the_domains_of_all_senders_are_checked_once(where: str, settings: Settings) -> None:
    settings.EMAIL_SENDERS = {
        "reminder": "SNAP <news@News.Snap.Example>",
        "qr_code": "SNAP <tickets@snap.example>",
        "login_code": "codes@faß.example",
    }
    _, output = run(where)
    titles = [line for line in output.splitlines() if line.endswith("(Resend)")]
    domains = ["news.snap.example", "snap.example", "xn--fa-hia.example"]
    assert titles == [f"{domain} (Resend)" for domain in domains]


def test_both_providers_of_the_settings_are_checked(
    where: str, names: NameServer, settings: Settings
) -> None:
    settings.EMAIL_FALLBACK_PROVIDER = "mailgun"
    settings.ANYMAIL = {**settings.ANYMAIL, "MAILGUN_SENDER_DOMAIN": "mg.snap.example"}
    names.zone = {**RESEND, **MAILGUN}
    status, output = run(where)
    assert status == 0
    assert "snap.example (Resend)" in output
    assert "snap.example (Mailgun)" in output


ARGUMENTS: dict[str, tuple[Zone, list[str]]] = {
    "sendgrid": (SENDGRID, ["--bounce-domain", "em1234.snap.example"]),
    "mailgun": (MAILGUN, ["--bounce-domain", "mg.snap.example", "--selector", "mailo"]),
    "smtp": (OWN_SERVER, ["--selector", "s2027", "--address", "198.51.100.7"]),
}


@pytest.mark.parametrize("provider", ARGUMENTS)
def test_another_provider_can_be_checked_before_the_change(
    where: str, names: NameServer, settings: Settings, provider: str
) -> None:
    settings.ANYMAIL = {**settings.ANYMAIL, "MAILGUN_SENDER_DOMAIN": "mg.snap.example"}
    zone, arguments = ARGUMENTS[provider]
    names.zone = dict(zone)
    status, output = run(where, "--provider", provider, "--domain", DOMAIN, *arguments)
    assert status == 0, output


def test_settings_name_selectors_and_the_bounce_domain(
    where: str, names: NameServer, settings: Settings
) -> None:
    settings.EMAIL_DKIM_SELECTORS = ["k9"]
    settings.EMAIL_BOUNCE_DOMAIN = "out.snap.example"
    names.zone["k9._domainkey.snap.example"] = {"TXT": [text(DKIM)]}
    names.zone["out.snap.example"] = names.zone["send.snap.example"]
    _, output = run(where)
    assert "k9._domainkey.snap.example" in output
    assert "SPF of out.snap.example" in output


def test_a_setting_is_for_the_provider_whose_own_value_is_not_known(
    where: str, names: NameServer, settings: Settings
) -> None:
    settings.EMAIL_FALLBACK_PROVIDER = "sendgrid"
    settings.EMAIL_BOUNCE_DOMAIN = "em1234.snap.example"
    names.zone = {**RESEND, **SENDGRID}
    status, output = run(where)
    assert status == 0, output
    settings.EMAIL_FALLBACK_PROVIDER, settings.EMAIL_BOUNCE_DOMAIN = "smtp", ""
    settings.EMAIL_FALLBACK_HOST = "mx.snap.example"
    settings.EMAIL_FALLBACK_USE_TLS = True
    settings.EMAIL_DKIM_SELECTORS = ["s2027"]
    names.zone = {**RESEND, **OWN_SERVER}
    _, output = run(where)
    assert "The key at resend._domainkey.snap.example" in output
    assert "The key at s2027._domainkey.snap.example" in output
    assert "missing" not in output


def test_the_address_of_the_mail_server_is_a_guess(
    where: str, names: NameServer, settings: Settings
) -> None:
    settings.EMAIL_PROVIDER, settings.EMAIL_HOST = "smtp", "relay.example"
    settings.EMAIL_USE_TLS = True
    settings.EMAIL_DKIM_SELECTORS = ["s2027"]
    names.zone = {**OWN_SERVER, "relay.example": {"A": ["8.8.4.4", "10.0.0.1"]}}
    status, output = run(where)
    assert status == 2
    assert "8.8.4.4" in output
    assert "If emails leave from another address, name it with --address." in output
    assert "10.0.0.1" not in output


def test_two_records_are_missing_at_an_api_too(where: str, names: NameServer) -> None:
    names.zone["send.snap.example"] = {
        **RESEND["send.snap.example"],  # type: ignore[dict-item]
        "TXT": [text("v=spf1 include:amazonses.com ~all"), text("v=spf1 -all")],
    }
    status, output = run(where)
    assert status == 1
    assert "  missing: SPF: Join the 2 SPF records" in output
    assert "--address" not in output


@pytest.mark.parametrize("first", ["smtp", "resend"])
def test_the_mail_server_of_the_fallback_is_checked(
    where: str, names: NameServer, settings: Settings, first: str
) -> None:
    settings.EMAIL_PROVIDER, settings.EMAIL_FALLBACK_PROVIDER = first, "smtp"
    settings.EMAIL_HOST, settings.EMAIL_FALLBACK_HOST = "relay.example", "relay2.example"
    settings.EMAIL_USE_TLS, settings.EMAIL_FALLBACK_USE_TLS = True, False
    names.zone = {
        **OWN_SERVER,
        "relay.example": {"A": ["8.8.4.4"]},
        "relay2.example": {"A": ["8.8.8.8"]},
    }
    _, output = run(where)
    assert output.count("snap.example (the mail server)") == 1
    assert ("ip4:8.8.4.4" in output) == (first == "smtp")
    assert "ip4:8.8.8.8" in output
    assert "Set EMAIL_FALLBACK_USE_TLS:" in output
    assert "Set EMAIL_USE_TLS:" not in output


def test_the_console_sends_no_emails(where: str, settings: Settings) -> None:
    settings.EMAIL_PROVIDER = "console"
    with pytest.raises(CommandError, match="--provider"):
        run(where)


@pytest.mark.parametrize(
    "arguments",
    [
        ["--nameserver", "dns.example"],
        ["--nameserver", "127.0.0.1:dns"],
        ["--nameserver", "127.0.0.1:99999"],
        ["--address", "mx.snap.example"],
        ["--domain", "☕.example"],
        ["--domain", "xn--a-ecp.ru"],
    ],
)
def test_wrong_arguments_are_refused_in_a_sentence(where: str, arguments: list[str]) -> None:
    with pytest.raises(CommandError, match=r"\.$"):
        run(where, *arguments)
