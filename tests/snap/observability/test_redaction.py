"""Texts of libraries lose phones, emails, names, codes and keys in each form they come in."""

import traceback
from collections.abc import Iterator

import pytest

from snap.observability.redaction import (
    HIDDEN,
    hide_in_traceback,
    hide_in_value,
    hide_personal_data,
    hide_secrets,
    hide_values,
)

PHONES = [
    "+351912345678",
    "+351 912 345 678",
    "912345678",
    "912 345 678",
    "91 234 56 78",
    "%2B351912345678",
    "%2B351+912+345+678",
    "%2B351%20912%20345%20678",
    "(+351) 912-345-678",
    "tel:+351912345678",
    "00351912345678",
    "06.12.34.56.78",
    "+1 (415) 555-0100",
    "+47 22 34 56 78",
    "٩١٢٣٤٥٦٧٨",
    "\uff0b\uff13\uff15\uff11\uff19\uff11\uff12\uff13\uff14\uff15\uff16\uff17\uff18",
    "912\u00a0345\u202f678",
    "912\u2011345\u2011678",
    "912_345_678",
    "912,345,678",
    "912%2F345%2F678",
    "%2B351%2E912%2E345%2E678",
    "%252B351912345678",
    "912\u00ad345\u00ad678",
    "912%E2%80%8B345%E2%80%8B678",
    "+351912345678x",
    "tel912345678",
    "a912345678",
    "912345678_ana",
    "tel:912 345 678",
    "id-912345678",
    "id-912 345 678",
    "912345678-abc",
    "tel:912.345.678",
    "+351912345678: refused",
    "912 345 678: refused",
]
EMAILS = [
    "ana.silva@example.pt",
    "ana%40example.pt",
    "ana+festa@example.pt",
    "ana@faß.example",
    '"ana silva"@example.pt',
    "ана@пример.рф",
    "ana\uff20example.pt",
    "ana@localhost",
    "ana@[192.0.2.1]",
    "worker@example.pt",
    "ana%2540example.pt",
    "ana.silva(at)example.pt",
    "ana[at]example.pt",
    "bounce+7-ana=example.pt@lists.example",
]
SECRETS = [
    "postgres://snap:s3cr3t/x@db.example:5432/snap",
    "redis://:hunter22@localhost:6379/0",
    "https://0123abcd@sentry.example/4",
    "/admin/accounts/user/?q=ana",
    "next=%2Fadmin%2F%3Fq%3Dsilva%26x%3D1",
    "YW5hQGV4YW1wbGUucHQ=",
    "re_9fKqPz2XwV4bT7mN3cR8sL",
]
FRAMES = ["{}", "x {} y", "['{}']", '{{"a":"{}"}}', "<{}>", "({})", "{}.", "{},z", "\t{}\n"]
PARTS = (
    "2345",
    "234 56",
    "555-01",
    "34 56 78",
    "12.34",
    "ana",
    "ана",
    "silva",
    "٩١٢",
    "\uff11\uff19",
)


@pytest.mark.parametrize("frame", FRAMES)
@pytest.mark.parametrize("value", [*PHONES, *EMAILS, *SECRETS])
def test_it_is_hidden_in_any_text(value: str, frame: str) -> None:
    hidden = hide_secrets(frame.format(value))
    assert HIDDEN in hidden
    for part in (*PARTS, "s3cr3t", "hunter22", "0123abcd", "YW5h", "9fKqPz"):
        assert part not in hidden
    assert hide_in_value(value) == hide_secrets(value)


@pytest.mark.parametrize(
    "text",
    [
        "2026-11-27 11:12:58,497 INFO uvicorn.error Uvicorn running on http://127.0.0.1:8001",
        "2026-11-28 00:00:24.089123+00:00",
        "guest_created guest_id=12 ticket_id=5e40b71b-a487-45a0-bcb0-9235ab848c57",
        "ticket_id=12345678-1234-1234-1234-123456789012",
        "took 0.00012345678 s and 123.4567891 ms",
        'connection to server at "127.0.0.1", port 5432 failed',
        "Listening at: http://192.168.100.100:8000",
        "request_id=12345678901234567890123456789012",
        "<Task pending at 0x7f1234567890>",
        "a1234567890b of 10,000,000 rows, layers ip,phone",
        "emails=3 email_id=12 code=list_full error=SMTPDataError 554 (smtplib.py:887)",
        "worker@web1 ready.",
        "@limited(read=PAGES)",
    ],
)
def test_what_operators_need_stays(text: str) -> None:
    assert hide_secrets(text) == text


@pytest.mark.parametrize(
    "text",
    [
        '{"phone": "22 34 56 78", "firstName": "Ana", "last_name": "Silva"}',
        "<QueryDict: {'first_name': ['Ana'], 'email': ['ana']}>",
        "User(first_name='Ana', last_name=\"Silva\")",
        "name=Ana Silva, next",
        "Key (event_id, name)=(1, Ana Silva (x)) already exists.",
        "Failing row contains (1, Ana, null, Silva).",
        "LINE 1: SELECT * FROM guest WHERE name = 'Ana'",
        "CONTEXT: unnamed portal parameter $1 = 'Ana Silva'",
        "Task x raised unexpected: ValueError('Ana \"Silva\"')",
        "Cookie: session=ana; csrftoken=silva",
        "Authorization: Basic ana",
        "{'code': '123456', 'name': 'Ana'}",
        "code=123456",
        "554 Subject: 123456 is your SNAP code",
        "Assunto: 123456 \u00e9 o teu código SNAP",
        "Your code is 123456",
        "O teu código: 123456",
        "OTP 123456",
        "password=Ana",
    ],
)
def test_values_of_fields_are_hidden_in_texts_of_libraries(text: str) -> None:
    hidden = hide_personal_data(text)
    assert HIDDEN in hidden
    for part in ("ana", "silva", "123456", "22 34"):
        assert part not in hidden.lower()


def trace(error: Exception) -> str:
    try:
        raise error
    except Exception as raised:  # noqa: BLE001
        return "".join(traceback.format_exception(raised))


@pytest.mark.parametrize(
    "error",
    [
        ValueError("invalid literal for int() with base 10: 'Ana'"),
        ValueError("bad 'Ana'\nDETAIL: Ana Silva\n  File \"x\"\n    Ana"),
        LookupError('the row "{"id": 1, "name": "Ana"}" is wrong'),
        KeyError("Ana"),
        ExceptionGroup("of 'Ana'", [ValueError("'Ana'\nAna"), KeyError("Ana")]),
        OSError(2, "No such file", "/srv/media/Ana"),
        TypeError("phone='Ana' email=Ana"),
    ],
)
def test_a_traceback_names_the_error_and_its_place_but_no_values(error: Exception) -> None:
    hidden = hide_in_traceback(trace(error))
    assert type(error).__name__ in hidden
    assert "test_redaction.py" in hidden
    assert "raise error" in hidden
    assert "Ana" not in hidden


def test_each_error_of_a_chain_is_cleaned() -> None:
    try:
        try:
            raise ValueError("'Ana'")
        except ValueError as error:
            raise KeyError("Ana") from error
    except KeyError as error:
        hidden = hide_in_traceback("".join(traceback.format_exception(error)))
    # The lines of code have it.
    assert hidden.count("Ana") == 2
    assert "ValueError: [hidden]" in hidden
    assert "KeyError: [hidden]" in hidden
    assert "direct cause" in hidden


def test_errors_of_code_keep_the_names_of_the_code() -> None:
    text = "'Event' object has no attribute 'titel'"
    assert text in hide_in_traceback(trace(AttributeError(text)))


def test_errors_of_the_database_keep_names_of_tables_and_constraints() -> None:
    text = 'new row for relation "guests_guest" violates check constraint "guest_once"'
    hidden = hide_in_traceback(trace(ValueError(f'{text} of "Ana"')))
    assert text in hidden
    assert "Ana" not in hidden


@pytest.fixture
def secret() -> Iterator[str]:
    yield "an-api-key-in-small-letters"
    hide_values([])


def test_secrets_of_the_settings_are_hidden(secret: str) -> None:
    assert secret in hide_secrets(f"the key {secret}")
    hide_values([secret, "", "short"])
    assert hide_secrets(f"the key {secret} is short") == f"the key {HIDDEN} is short"


LONG = 60_000
REPEATED = (
    *"a1_-.:/=@(\"' ?&%+",
    "a!",
    "1 ",
    "a-",
    "://",
    "?a",
    "_a",
    'a"',
    "name=",
    "name = ",
    "Key (",
    "Error(",
    ":aaaaaa",
    "%40",
    "a\n",
    "LINE 1:",
)


@pytest.mark.slow
@pytest.mark.timeout(20)
@pytest.mark.parametrize("part", REPEATED)
def test_no_text_takes_long(part: str) -> None:
    """With the square of the length each would take minutes."""
    text = f"x@y :{'s' * 30} {part * (LONG // len(part))} x@y ("
    assert hide_personal_data(text)
    assert hide_in_traceback(f"ValueError: {text}\n{text}")
