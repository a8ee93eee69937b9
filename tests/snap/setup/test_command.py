"""`manage.py check_setup`: what it prints, and its exit status."""

import json
import os
import re
import subprocess
import sys
from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import connection
from django.test import override_settings

from snap.local.processes import BASE_DIR
from snap.management.commands.check_setup import known_ids
from tests.helpers.own_servers import own_postgresql
from tests.helpers.setup_faults import CASES
from tests.helpers.sign_in_faults import SIGN_IN_CASES

pytestmark = pytest.mark.django_db


def run(*arguments: str) -> tuple[str, int]:
    """Return what the command printed, and its exit status."""
    out = StringIO()
    try:
        call_command("check_setup", *arguments, stdout=out, no_color=True)
    except SystemExit as end:
        return out.getvalue(), int(end.code or 0)
    return out.getvalue(), 0


def report(*arguments: str) -> dict[str, Any]:
    text, _ = run("--json", *arguments)
    found: dict[str, Any] = json.loads(text)
    return found


def test_it_says_what_is_wrong_and_what_to_do_in_80_columns() -> None:
    text, status = run()
    assert status == 1
    joined = " ".join(text.split())
    assert "PUBLIC_URL begins with http://: phones, codes and passes travel" in joined
    assert "> Set PUBLIC_URL to an address with https://" in joined
    assert "(snap.E101)" in joined
    assert all(len(line) <= 80 for line in text.splitlines())


def test_one_cause_is_one_finding() -> None:
    """Django's own warnings of cookies and HSTS follow from the missing HTTPS."""
    found = [each["id"] for each in report()["to_mend"]]
    assert "snap.E101" in found
    assert not [name for name in found if name.startswith("security.")]


def test_errors_come_first_and_notes_do_not_count() -> None:
    found = report()
    levels = [each["level"] for each in found["to_mend"]]
    assert levels == sorted(levels)
    assert set(levels) == {"error", "warning"}
    accepted = [f"--accept={each['id']}" for each in found["to_mend"]]
    text, status = run(*accepted)
    assert status == 0
    assert "Nothing is to be mended." in text
    assert "To consider" in text


@pytest.mark.parametrize("wrong", ["snap.I414", "snap.i144", "I144"])
def test_an_id_that_no_check_has_is_refused_with_those_there_are(wrong: str) -> None:
    with pytest.raises(CommandError) as refused:
        run(f"--accept={wrong}")
    assert refused.value.returncode == 2
    text = str(refused.value)
    assert f"--accept {wrong}: there is no such finding." in text
    assert {"snap.I144", "accounts.W101", "security.W019"} <= set(re.findall(r"[a-z]+\.\w+", text))


def test_each_finding_can_be_accepted_while_it_is_absent() -> None:
    assert known_ids() >= set(CASES) | set(SIGN_IN_CASES)


def test_silenced_checks_stay_silent() -> None:
    with override_settings(SILENCED_SYSTEM_CHECKS=["snap.E101"]):
        assert "snap.E101" not in [each["id"] for each in report()["to_mend"]]


def test_missing_tables_are_one_finding() -> None:
    """A database without tables is what a first deployment has."""
    with connection.cursor() as cursor:
        cursor.execute("CREATE SCHEMA elsewhere; SET search_path = elsewhere")
        try:
            found = [each["id"] for each in report()["to_mend"]]
        finally:
            cursor.execute("RESET search_path")
    assert "snap.E129" in found


@pytest.mark.slow
def test_a_reader_that_has_seen_enough_ends_it() -> None:
    """Every command of manage.py ends so."""
    environ = os.environ | {"DJANGO_SETTINGS_MODULE": "snap.settings"}
    command = f"{sys.executable} manage.py check_setup | true; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(
        ["bash", "-c", command], cwd=BASE_DIR, env=environ, capture_output=True, timeout=60
    )
    assert done.stderr == b""
    assert done.returncode == 141


@pytest.mark.slow
@pytest.mark.usefixtures("stoppable_database")
def test_a_database_that_is_away_is_said_within_seconds() -> None:
    own_postgresql().stop("immediate")
    environ = os.environ | {"DJANGO_SETTINGS_MODULE": "snap.settings"}
    command = [sys.executable, "manage.py", "check_setup", "--json"]
    done = subprocess.run(
        command, cwd=BASE_DIR, env=environ, capture_output=True, text=True, timeout=30
    )
    assert done.returncode == 1
    assert done.stderr == ""
    found = [each["id"] for each in json.loads(done.stdout)["to_mend"]]
    assert "snap.E121" in found
    assert "snap.E101" in found, "other checks still run"
