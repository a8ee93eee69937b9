"""Line breaks that would start a header or a log line of an attacker's choice."""

import logging
import re

import pytest
from django.test import Client

from accounts.models import User
from notifications.models import Email
from snap.observability.logs import PlainFormatter
from tests.factories import make_event
from tests.helpers.visitors import Visitor

pytestmark = pytest.mark.django_db

BREAKS = ["\r\n", "\n", "\r", "\u2028", "\u2029", "\x85", "\x0b", "\x0c", "\x1b[2J"]
FORGED = "2026-01-01 00:00:00 INFO accounts.services signed_in account_id=1"


def line_of(message: str, *args: object, **extra: object) -> str:
    record = logging.LogRecord("test", logging.INFO, "x.py", 1, message, args, None)
    vars(record).update(extra)
    return PlainFormatter().format(record)


@pytest.mark.parametrize("line_break", BREAKS)
def test_no_value_starts_a_line_of_the_log(line_break: str) -> None:
    attack = f"x{line_break}{FORGED}"
    for line in (line_of(attack), line_of("%s", attack), line_of("event", path=attack)):
        assert len(line.splitlines()) == 1
        assert "\x1b" not in line


def test_a_traceback_keeps_its_lines() -> None:
    try:
        raise ValueError("one\ntwo")
    except ValueError as error:
        record = logging.LogRecord(
            "test", logging.ERROR, "x.py", 1, "failed", (), (ValueError, error, error.__traceback__)
        )
    assert len(PlainFormatter().format(record).splitlines()) > 3


@pytest.mark.parametrize("line_break", ["%0d%0a", "%0a", "%e2%80%a8"])
def test_no_address_starts_a_line_of_the_log_or_a_header(
    client: Client, line_break: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for path in ("/promo/", "/guest/", "/nothing/", "/media/qr/"):
        response = client.get(f"{path}x{line_break}Set-Cookie:%20evil=1{line_break}{FORGED}")
        assert response.status_code == 404
        assert "evil" not in str(response.headers)
        assert "evil" not in response.cookies
    logged = capsys.readouterr().err
    assert not re.search(rf"^{re.escape(FORGED)}", logged, re.MULTILINE)


@pytest.mark.parametrize("line_break", ["\r\n", "\n", "\r"])
@pytest.mark.parametrize("field", ["first_name", "last_name", "email", "phone", "code"])
def test_no_field_starts_a_header_of_an_email(field: str, line_break: str) -> None:
    visitor = Visitor(make_event())
    visitor.give_phone()
    visitor.register(**{field: f"x{line_break}Bcc: evil@example.com"})
    assert not Email.objects.filter(to__contains="\n").exists()
    assert not User.objects.filter(first_name__contains="\n").exists()
    assert not User.objects.filter(email__contains="Bcc").exists()
