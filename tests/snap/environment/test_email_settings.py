"""Settings of mail providers: each provider, as the first and as the fallback, needs its own."""

import json

import pytest
from pytest_django import Settings

from notifications.checks import check_providers
from tests.helpers.settings_run import read_settings, refusal

SENDER = {"DEFAULT_FROM_EMAIL": "SNAP <no-reply@snap.example>"}
# What makes each provider work.
COMPLETE = {
    "resend": {"RESEND_API_KEY": "key"},
    "sendgrid": {"SENDGRID_API_KEY": "key"},
    "mailgun": {"MAILGUN_API_KEY": "key", "MAILGUN_SENDER_DOMAIN": "mg.snap.example"},
    "smtp": {},
    "console": {},
}
# What each provider signs its reports with.
SIGNED_WITH = {
    "resend": "RESEND_SIGNING_SECRET",
    "sendgrid": "SENDGRID_TRACKING_WEBHOOK_VERIFICATION_KEY",
    "mailgun": "MAILGUN_WEBHOOK_SIGNING_KEY",
}
APIS = sorted(SIGNED_WITH)
OTHER_SERVER = {"EMAIL_FALLBACK_HOST": "mail2.snap.example"}


def using(name: str, fallback: str = "") -> dict[str, str]:
    """Return complete settings of one or two providers."""
    given = {"EMAIL_PROVIDER": name} | SENDER | COMPLETE[name]
    if fallback:
        given |= {"EMAIL_FALLBACK_PROVIDER": fallback} | COMPLETE[fallback] | OTHER_SERVER
    return given


def sentence(given: dict[str, str]) -> str:
    return refusal(**given).removeprefix("SNAP cannot start: ")


@pytest.mark.parametrize("name", COMPLETE)
def test_each_provider_starts_alone_and_with_each_other_one(name: str) -> None:
    assert read_settings(**using(name))["EMAIL_FALLBACK_PROVIDER"] == ""
    for fallback in set(COMPLETE) - {name}:
        kept = read_settings(**using(name, fallback))
        assert kept["EMAIL_BACKEND"] == kept["EMAIL_BACKENDS"][name]
        assert kept["EMAIL_FALLBACK_BACKEND"] == kept["EMAIL_BACKENDS"][fallback]


@pytest.mark.parametrize("name", APIS)
@pytest.mark.parametrize("variable", ["EMAIL_PROVIDER", "EMAIL_FALLBACK_PROVIDER"])
def test_each_setting_that_a_provider_needs_is_named_when_it_is_missing(
    name: str, variable: str
) -> None:
    complete = using(name)
    if variable == "EMAIL_FALLBACK_PROVIDER":
        complete = using("smtp", name)
    for missing in COMPLETE[name]:
        for empty in ("", "  "):
            said = sentence(complete | {missing: empty})
            assert said == f"{missing} must be set when {variable} is {name}."
    said = sentence(complete | {"DEFAULT_FROM_EMAIL": ""})
    assert said == f"DEFAULT_FROM_EMAIL must be set when emails are sent by {name}."
    said = sentence(complete | {"MAIL_WEBHOOK_SECRET": "name:password"})
    assert said == f"{SIGNED_WITH[name]} must be set when MAIL_WEBHOOK_SECRET is set."


@pytest.mark.parametrize("name", APIS)
@pytest.mark.parametrize(
    "key", ["kéy", "a key", " key", "key\n", "key\r", "a\nb", "key\u200b", "“key”"]
)
def test_a_key_that_no_request_can_carry_stops_the_start(name: str, key: str) -> None:
    variable = f"{name.upper()}_API_KEY"
    said = sentence(using(name) | {variable: key})
    assert said == f"{variable} must have ASCII characters only, and no spaces."


@pytest.mark.parametrize("name", sorted(set(COMPLETE) - {"smtp"}))
def test_the_fallback_is_another_provider(name: str) -> None:
    said = sentence(using(name, name) | {"EMAIL_FALLBACK_PROVIDER": name.upper()})
    assert said.startswith("EMAIL_FALLBACK_PROVIDER must be another provider than EMAIL_PROVIDER")


def test_two_mail_servers_must_be_two() -> None:
    both = {"EMAIL_PROVIDER": "smtp", "EMAIL_FALLBACK_PROVIDER": "smtp"}
    assert sentence(both).startswith("EMAIL_FALLBACK_HOST must be set when ")
    same = both | {"EMAIL_HOST": "mail", "EMAIL_FALLBACK_HOST": "MAIL"}
    assert sentence(same).startswith("EMAIL_FALLBACK_HOST must be another mail server")
    assert read_settings(**same, EMAIL_FALLBACK_PORT="26")["EMAIL_FALLBACK_PORT"] == 26
    assert sentence(using("resend", "smtp") | {"EMAIL_FALLBACK_HOST": ""}).startswith(
        "EMAIL_FALLBACK_HOST must be set"
    )


@pytest.mark.parametrize("server", ["EMAIL", "EMAIL_FALLBACK"])
def test_a_mail_server_has_user_and_password_and_a_port_with_starttls(server: str) -> None:
    both = using("smtp", "smtp")
    user, password = f"{server}_HOST_USER", f"{server}_HOST_PASSWORD"
    said = sentence(both | {user: "snap"})
    assert said == f"{password} must be set when {user} is set."
    assert sentence(both | {f"{server}_PORT": "465"}).startswith(f"{server}_PORT cannot be 465")
    assert read_settings(**both | {user: "snap", password: "secret", f"{server}_PORT": "587"})


@pytest.mark.parametrize(
    "sender",
    [
        "a@snap.party, b@snap.party",
        "a@snap.party;b@snap.party",
        "Snap, Lda <a@snap.party>",
        "a@snap.party junk",
        "SNAP <a@snap.party> x",
        "SNAP <a@snap.party",
        "SNAP <a@snap..party>",
        "SNAP <a@snap.party.>",
        "SNAP <a@snap,party>",
        "mailto:a@snap.party",
        "SNAP",
    ],
)
def test_a_sender_is_one_address(sender: str) -> None:
    for given in ({"DEFAULT_FROM_EMAIL": sender}, {"EMAIL_SENDERS": json.dumps({"claim": sender})}):
        assert sentence(given).endswith("must name senders such as SNAP <no-reply@snap.example>.")


@pytest.mark.parametrize(
    "sender",
    ["a@snap.party", "<a@snap.party>", '"Snap, Lda" <a@snap.party>', "Olá (SNAP) <a@olá.pt>"],
)
def test_a_sender_may_have_a_name(sender: str) -> None:
    assert read_settings(DEFAULT_FROM_EMAIL=sender)["DEFAULT_FROM_EMAIL"] == sender


@pytest.mark.parametrize(
    "variable", ["EMAIL_PROVIDER", "EMAIL_FALLBACK_PROVIDER", "MAILGUN_REGION", "SENDGRID_REGION"]
)
def test_an_unknown_provider_or_region_is_named_with_those_that_exist(variable: str) -> None:
    said = sentence({variable: "moon"})
    assert said.startswith(f"{variable} must be one of ")
    assert said.endswith(", not 'moon'.")
    assert "of ," not in said


@pytest.mark.parametrize(
    ("given", "url"),
    [
        ({}, "https://api.eu.mailgun.net/v3"),
        ({"MAILGUN_REGION": "us"}, "https://api.mailgun.net/v3"),
        ({"MAILGUN_REGION": "EU"}, "https://api.eu.mailgun.net/v3"),
        (
            {"MAILGUN_REGION": "us", "MAILGUN_API_URL": "https://mg.example/v3"},
            "https://mg.example/v3",
        ),
    ],
)
def test_the_region_gives_the_address_of_mailgun(given: dict[str, str], url: str) -> None:
    assert read_settings(**given)["ANYMAIL"]["MAILGUN_API_URL"] == url


def test_the_region_gives_the_address_of_sendgrid() -> None:
    addresses = [
        read_settings(SENDGRID_REGION=region)["ANYMAIL"]["SENDGRID_API_URL"]
        for region in ("", "global", "eu")
    ]
    usual = "https://api.sendgrid.com/v3"
    assert addresses == [usual, usual, "https://api.eu.sendgrid.com/v3"]


@pytest.mark.parametrize("name", sorted(set(COMPLETE) - {"console"}))
@pytest.mark.parametrize(
    "sender", ["no-reply@snap.example", "SNAP <a@mail.example.com>", "a@x.test", "a@b.invalid"]
)
def test_a_public_site_has_a_real_sender(name: str, sender: str) -> None:
    public = using(name) | {"PUBLIC_URL": "https://guests.snap.party", "METRICS_TOKEN": "t"}
    said = sentence(public | {"DEFAULT_FROM_EMAIL": sender})
    assert said.startswith("DEFAULT_FROM_EMAIL must have a domain of yours")
    assert sentence(public | {"DEFAULT_FROM_EMAIL": ""}).startswith(
        "DEFAULT_FROM_EMAIL must be set"
    )
    real = public | {"DEFAULT_FROM_EMAIL": "SNAP <hi@snap.party>"}
    assert read_settings(**real)
    said = sentence(real | {"EMAIL_SENDERS": json.dumps({"reminder": sender})})
    assert said.startswith("EMAIL_SENDERS must have a domain of yours")


def test_the_checks_warn_of_emails_that_are_lost_without_a_sign(settings: Settings) -> None:
    settings.EMAIL_PROVIDER, settings.EMAIL_FALLBACK_PROVIDER = "smtp", ""
    settings.MAIL_WEBHOOK_SECRET = ""
    assert check_providers(None) == []
    settings.EMAIL_PROVIDER, settings.EMAIL_FALLBACK_PROVIDER = "resend", "console"
    ids = [found.id for found in check_providers(None)]
    assert ids == ["notifications.W001", "notifications.W002"]
    settings.MAIL_WEBHOOK_SECRET, settings.EMAIL_FALLBACK_PROVIDER = "a:b", "mailgun"
    assert check_providers(None) == []


def test_the_checks_warn_of_a_public_site_whose_emails_stay_on_its_machine(
    settings: Settings,
) -> None:
    settings.EMAIL_PROVIDER, settings.EMAIL_FALLBACK_PROVIDER = "console", ""
    settings.HTTPS = False
    assert check_providers(None) == []
    settings.HTTPS = True
    assert [found.id for found in check_providers(None)] == ["notifications.W003"]


@pytest.mark.parametrize("server", ["EMAIL", "EMAIL_FALLBACK"])
def test_the_checks_warn_of_a_password_that_is_not_sent_or_not_encrypted(
    settings: Settings, server: str
) -> None:
    settings.EMAIL_PROVIDER = settings.EMAIL_FALLBACK_PROVIDER = "smtp"
    settings.MAIL_WEBHOOK_SECRET = ""
    setattr(settings, f"{server}_HOST", "mail.snap.party")
    assert check_providers(None) == []
    setattr(settings, f"{server}_HOST_PASSWORD", "secret")
    assert [found.id for found in check_providers(None)] == ["notifications.W004"]
    setattr(settings, f"{server}_HOST_USER", "snap")
    (found,) = check_providers(None)
    assert found.id == "notifications.W005"
    assert f"{server}_USE_TLS=true" in str(found.hint)
    setattr(settings, f"{server}_USE_TLS", True)
    assert check_providers(None) == []
