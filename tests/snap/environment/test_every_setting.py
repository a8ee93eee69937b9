"""Each setting of docs/settings.md: what cannot work is one sentence, what can is kept."""

import re
from pathlib import Path
from typing import Any

import pytest

from snap.environment.file import read_file, update_file
from tests import settings_reference as reference
from tests.helpers.settings_run import REQUIRED, read_settings, refusal

SETTINGS = [
    *reference.read_settings(reference.SETTINGS.read_text()),
    *reference.read_procfile(reference.PROCFILE.read_text()),
]
KINDS = {setting.name: setting.kind for setting in SETTINGS}

NUMBERS = ("ten", "-1", "1.5", "1e3", "0x10", "1_0 0", "½", "99999999999999999999", "nan")
# Values of each kind that cannot work.
WRONG: dict[str, tuple[str, ...]] = {
    "whole number": NUMBERS,
    "port": (*NUMBERS, "65536"),
    "number": ("ten", "-1", "nan", "inf", "-inf", "1,5", "1e99"),
    "true or false": ("yes please", "2", "app:*", "tru", "-"),
    "one of a list": ("nonsense", "smtp,resend", "PT/ES", "*"),
    "JSON": ("{", "[]", '"text"', "1", '{"login_code": 1}', '{"login_code": "nobody"}'),
    "sender": ("nobody", "@", "SNAP <>", "a@", "two words@snap.example", "A\nB <a@snap.example>"),
    "domain": ("https://mg.snap.example", "mg", "mg.snap.example/", "m g.example"),
    "host": ("smtp://mail", "mail:25", "mail server", "mail/", "two\nlines", "póst.example"),
    "text": ("two\nlines", "bell\a"),
    "dotted path": ("console", "accounts.sms.", "accounts sms", "accounts/sms.py", "a.1"),
}
ADDRESSES: dict[str, tuple[str, ...]] = {
    "PUBLIC_URL": (
        "snap.example",
        "https://",
        "https:///promo",
        "https://snap.example/promo",
        "https://snap.example?x=1",
        "https://snap.example/#x",
        "https://user:secret@snap.example",
        "https://snap.example:0",
        "https://snap.example:port",
        "https://snap.example:99999",
        "https://snap .example",
        "https://festa.português",
        "https://[::1",
        "ftp://snap.example",
        "//snap.example",
        "https://a.example,https://b.example",
    ),
    "PRIVACY_URL": ("javascript:alert(1)", "snap.example", "ftp://snap.example", "https://a b/c"),
    "MAILGUN_API_URL": ("api.mailgun.net", "ftp://api.mailgun.net", "https://", "https://a b/v3"),
    "ALLOWED_HOSTS": ("https://snap.example", "snap.example:8000", "snap.example/", "a b"),
    "EMAIL_DKIM_SELECTORS": ("s1._domainkey.snap.example/", "s 1", "s1;s2", ".", "é"),
    "WEBSOCKET_ORIGINS": ("https://snap.example/promo", "a b", "https://", "snap.example/x"),
    "DATABASE_URL": (
        "localhost/snap",
        "mysql://localhost/snap",
        "postgresql+psycopg://localhost/snap",
        "postgres:localhost/snap",
        "postgres://localhost",
        "postgres://localhost/",
        "postgres://u:secret#1@localhost/snap",
        "postgres://u:secret/1@localhost/snap",
        "postgres://u:secret?1@localhost/snap",
        "postgres://u:se[cret@localhost/snap",
        "postgres://localhost:port/snap",
        "postgres://localhost:0/snap",
        "postgres://localhost:99999/snap",
        "postgres://[::1/snap",
        "postgres://local host/snap",
        "postgres://localhost/snap?sslmode=yes",
        "postgres://localhost/snap?secret=1",
        "postgres://localhost/snap?sslkey=/dev/null/none",
    ),
}
REDIS = (
    "localhost",
    "localhost:6379",
    "http://localhost",
    "sentinel://a;sentinel://b",
    "redis://",
    "redis://:secret@",
    "redis:///0",
    "redis://localhost/zero",
    "redis://localhost/-1",
    "redis://localhost/0/3",
    "redis://localhost/1.5",
    "redis://localhost?db=x",
    "redis://localhost:port/0",
    "redis://localhost:99999/0",
    "redis://localhost:0/0",
    "redis://[::1/0",
    "redis://:secret#1@localhost/0",
    "redis://:secret/1@localhost/0",
    "redis://:secret?1@localhost/0",
    "redis://local host/0",
    "redis://localhost/0?secret=1",
    "redis://localhost/0?socket_timeout=60",
    "redis://localhost/0?ssl_cert_reqs=none",
    "rediss://localhost/0?ssl_cert_reqs=secret",
    "rediss://localhost/0?ssl_ca_certs=/dev/null/none",
    "unix://",
    "unix:///tmp/valkey.sock?db=x",
)
for _name in ("REDIS_URL", "CACHE_URL", "LIMITS_URL", "CHANNELS_URL", "BROKER_URL"):
    ADDRESSES[_name] = REDIS
ADDRESSES["WEB_HOST"] = ADDRESSES["WEB_METRICS_HOST"] = ("http://localhost", "any host", "a/b")
ADDRESSES["LIKELY_COUNTRIES"] = ("Portugal", "PT;ES", "PT,XX")
ADDRESSES["SECRET_KEY"] = ("secret", "s" * 49)
ADDRESSES["RESEND_API_URL"] = ADDRESSES["SENDGRID_API_URL"] = ADDRESSES["MAILGUN_API_URL"]
ADDRESSES["OTEL_EXPORTER_OTLP_ENDPOINT"] = ("localhost:4318", "grpc://localhost:4317", "http://")
ADDRESSES["OTEL_TRACES_SAMPLER_ARG"] = ("1.01", "10%", "always_on", *WRONG["number"])
ADDRESSES["OTEL_EXPORTER_OTLP_HEADERS"] = ("authorization", "a b=1", "=1", "x=é", "x=%0a")
ADDRESSES["OTEL_RESOURCE_ATTRIBUTES"] = ADDRESSES["OTEL_EXPORTER_OTLP_HEADERS"]
ADDRESSES["SENTRY_DSN"] = (
    "sentry.example/1",
    "https://sentry.example/1",
    "https://key@sentry.example",
    "https://key@sentry.example/",
    "https://key@sentry.example/project",
    "https://key@/1",
    "https://@sentry.example/1",
    "https://k y@sentry.example/1",
    "https://key@sentry.example:port/1",
    "https://key@sentry.example/1?environment=x",
    "ftp://key@sentry.example/1",
)
ADDRESSES["MAIL_WEBHOOK_SECRET"] = ("secret", ":secret", "secret:")

# Signs that a shell, a file or a parser could take for something else.
SECRETS = (
    "$x",
    "$SECRET_KEY",
    "${x}",
    "'quoted'",
    '"quoted"',
    "'",
    '"',
    "a#b #c",
    " spaces ",
    "two\nlines",
    "line\n",
    "\nline",
    "carriage\r\nreturn",
    "tab\t",
    "back\\slash\\n",
    "%s%%{}",
    "export A=1",
    "A=1",
    "#",
    "[1]",
    "grün-密",
    "a\x85b\u2028c",
)


def wrong_values(name: str) -> tuple[str, ...]:
    return ADDRESSES.get(name, WRONG.get(KINDS[name], ()))


def test_each_setting_is_tried() -> None:
    free = ("secret", "secrets, by commas", "folder", "file")
    untried = [name for name in KINDS if not wrong_values(name) and KINDS[name] not in free]
    assert untried == []


@pytest.mark.parametrize("name", [name for name in KINDS if wrong_values(name)])
def test_a_value_that_cannot_work_is_one_sentence(name: str) -> None:
    for value in wrong_values(name):
        sentence = refusal(**{name: value})
        assert re.fullmatch(rf"SNAP cannot start: {name} \S.+\.", sentence), value
        assert "secret" not in sentence.removeprefix(f"SNAP cannot start: {name}"), value
        assert "Traceback" not in sentence


@pytest.mark.parametrize("name", [name for name, kind in KINDS.items() if kind in WRONG])
def test_an_empty_variable_counts_as_not_set(name: str) -> None:
    usual = read_settings()
    for empty in ("", "  "):
        assert plain(read_settings(**{name: empty})) == plain(usual)


def plain(settings: dict[str, Any]) -> dict[str, Any]:
    """Return the settings whose values can be compared."""
    return {
        name: value
        for name, value in settings.items()
        if name.isupper() and name not in ("CHANNEL_LAYERS", "DATABASES")
    }


@pytest.mark.parametrize("name", REQUIRED)
def test_a_required_setting_that_is_empty_is_not_set(name: str) -> None:
    assert refusal(**{name: ""}).startswith(f"SNAP cannot start: {name} is not set; `make run`")


@pytest.mark.parametrize("name", [name for name, kind in KINDS.items() if kind == "secret"])
def test_a_secret_is_kept_byte_for_byte(name: str, tmp_path: Path) -> None:
    for ending in SECRETS:
        secret = f"name:{'s' * 50}{ending}" if name != "INBOX_TOKEN" else ending
        if name == "METRICS_TOKEN":
            secret = ending
        kept = read_settings(**{name: secret})
        assert (kept.get(name) or kept["ANYMAIL"][name]) == secret
        update_file(tmp_path / "env", {name: secret}, remove=frozenset())
        assert read_file(tmp_path / "env")[name] == secret


@pytest.mark.parametrize("name", ["JOURNAL_PATH", "INBOX_DIR", "STATIC_ROOT", "SLOTS_DIR"])
def test_a_path_is_absolute_and_of_the_right_kind(name: str, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    wrong = tmp_path if KINDS[name] == "file" else tmp_path / "file"
    assert refusal(**{name: str(wrong)}).startswith(f"SNAP cannot start: {name} must be a ")
    kept = read_settings(**{name: "var/elsewhere"})
    assert kept[name] == kept["BASE_DIR"] / "var" / "elsewhere"
    assert refusal(**{name: "~nobody-of-that-name/x"}).startswith(f"SNAP cannot start: {name} ")


@pytest.mark.parametrize(
    ("given", "missing"),
    [
        ({"PUBLIC_URL": "https://snap.example"}, "METRICS_TOKEN"),
        ({"TRUSTED_PROXIES": "1"}, "METRICS_TOKEN"),
        ({"EMAIL_PROVIDER": "resend"}, "RESEND_API_KEY"),
        ({"EMAIL_PROVIDER": "sendgrid", "SENDGRID_API_KEY": " "}, "SENDGRID_API_KEY"),
        ({"EMAIL_PROVIDER": "mailgun"}, "MAILGUN_API_KEY"),
        ({"EMAIL_PROVIDER": "mailgun", "MAILGUN_API_KEY": "k"}, "MAILGUN_SENDER_DOMAIN"),
        (
            {
                "EMAIL_PROVIDER": "mailgun",
                "MAILGUN_API_KEY": "k",
                "MAILGUN_SENDER_DOMAIN": "mg.snap.example",
                "MAIL_WEBHOOK_SECRET": "a:b",
            },
            "MAILGUN_WEBHOOK_SIGNING_KEY",
        ),
        ({"EMAIL_HOST_USER": "snap"}, "EMAIL_HOST_PASSWORD"),
    ],
)
def test_a_setting_that_another_one_needs(given: dict[str, str], missing: str) -> None:
    assert refusal(**given).startswith(f"SNAP cannot start: {missing} must be set ")


def test_lists_have_no_spaces_and_no_empty_entries() -> None:
    kept = read_settings(ALLOWED_HOSTS=" a.example , ,.b.example,,", WEBSOCKET_ORIGINS=" * ,")
    assert kept["ALLOWED_HOSTS"] == ["localhost", "a.example", ".b.example"]
    assert kept["WEBSOCKET_ORIGINS"] == ["http://localhost:8000", "*"]
    keys = read_settings(SECRET_KEY_FALLBACKS="$one,'two', three ,")["SECRET_KEY_FALLBACKS"]
    assert keys == ["$one", "'two'", " three "]
    keys = read_settings(SECRET_KEY_FALLBACKS='["a,b", "[c"]')["SECRET_KEY_FALLBACKS"]
    assert keys == ["a,b", "[c"]


def test_numbers_and_words_are_read_as_people_write_them() -> None:
    kept = read_settings(LIMIT_IP=" +7 ", LINK_SECONDS="2", DEBUG="Off", LOG_LEVEL="warning")
    assert (kept["LIMIT_IP"], kept["LINK_SECONDS"], kept["DEBUG"]) == (7, 2.0, False)
    assert kept["LOGGING"]["root"]["level"] == "WARNING"
    assert read_settings(DEBUG="On", DEFAULT_COUNTRY="es")["DEFAULT_COUNTRY"] == "ES"


@pytest.mark.parametrize(
    ("text", "url", "host"),
    [
        (" https://Snap.Example/ ", "https://snap.example", "snap.example"),
        ("HTTPS://snap.example:443", "https://snap.example", "snap.example"),
        ("http://snap.example:80", "http://snap.example", "snap.example"),
        ("http://snap.example:8080/", "http://snap.example:8080", "snap.example"),
        ("http://[::1]:8000", "http://[::1]:8000", "[::1]"),
        ("https://xn--festa-iua.example", "https://xn--festa-iua.example", "xn--festa-iua.example"),
    ],
)
def test_the_public_address_in_its_usual_form(text: str, url: str, host: str) -> None:
    kept = read_settings(PUBLIC_URL=text, METRICS_TOKEN="t")
    assert (kept["PUBLIC_URL"], kept["ALLOWED_HOSTS"]) == (url, [host])
    assert kept["CSRF_TRUSTED_ORIGINS"] == [url]
