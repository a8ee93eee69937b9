"""docs/settings.md says what snap/settings.py and the Procfile read."""

import pytest

from tests import settings_reference as reference

SOURCE = """\
BASE_DIR = Path("x")
env = environ.Env()

# Addresses -------------------------------------------------------------------------------------

# Where people come. It is
# one address.
PUBLIC_URL = env.str("PUBLIC_URL").rstrip("/")
# Names of it.
HOSTS = env.list("HOSTS", default=[])

# Limits ----------------------------------------------------------------------------------------

# This is about all of them.
LIMITS = {
    # Requests a day.
    "all": env.int("LIMIT", default=24 * 60),
}
# A file.
FILE = env.file(
    "FILE", default=BASE_DIR / "var" / "file"
)
# Seconds.
PAUSE = env.float("PAUSE", default=2.0)
# One place | another.
CACHE = env.str("CACHE", default=f"{PUBLIC_URL}/cache")
# A database.
QUEUE = env.redis_url("QUEUE", server=CACHE, offset=3)
LIMIT_FIXED = 3
"""


def test_the_page_is_what_the_settings_say() -> None:
    expected = reference.page()
    is_written = reference.PAGE.read_text() == expected
    assert is_written, "docs/settings.md is out of date: run `make settings` and commit the page."


def test_it_reads_name_type_default_meaning_and_section() -> None:
    settings = {setting.name: setting for setting in reference.read_settings(SOURCE)}
    assert list(settings) == ["PUBLIC_URL", "HOSTS", "LIMIT", "FILE", "PAUSE", "CACHE", "QUEUE"]
    address = settings["PUBLIC_URL"]
    assert address.meaning == "Where people come. It is one address."
    assert (address.kind, address.default, address.section) == ("text", "required", "Addresses")
    assert settings["HOSTS"].default == "empty"
    limit = settings["LIMIT"]
    assert (limit.kind, limit.default, limit.meaning) == (
        "whole number",
        "1440",
        "Requests a day.",
    )
    assert limit.section == "Limits"
    assert settings["FILE"].default == "`var/file`"
    assert settings["FILE"].meaning == "A file."
    assert settings["PAUSE"].default == "2"
    assert settings["CACHE"].default == "`{PUBLIC_URL}/cache`"
    assert settings["QUEUE"].default == "a database of `REDIS_URL`: its number + 3"


def test_the_table_keeps_its_columns() -> None:
    rows = reference.render(reference.read_settings(SOURCE)).splitlines()
    assert "| `CACHE` | text | `{PUBLIC_URL}/cache` | One place &#124; another. |" in rows


@pytest.mark.parametrize(
    ("comment", "missing"),
    [
        ("# Names of it.\n", "HOSTS"),
        ("    # Requests a day.\n", "LIMIT"),
        ("# A file.\n", "FILE"),
        ("# Where people come. It is\n# one address.\n", "PUBLIC_URL"),
    ],
)
def test_a_setting_needs_a_comment_of_its_own(comment: str, missing: str) -> None:
    assert comment in SOURCE
    with pytest.raises(reference.UndocumentedError, match=f"above {missing} in"):
        reference.read_settings(SOURCE.replace(comment, ""))


def test_two_settings_in_one_line_cannot_share_a_comment() -> None:
    line = 'A, B = env.int("A", default=1), env.int("B", default=2)\n'
    source = f"# Both ----------\n\n# Two numbers.\n{line}"
    with pytest.raises(reference.UndocumentedError, match="above B in"):
        reference.read_settings(source)


def test_a_variable_is_read_in_one_place() -> None:
    settings = reference.read_settings(SOURCE)
    with pytest.raises(ValueError, match="Read HOSTS once"):
        reference.check_names([*settings, settings[1]])


def test_it_reads_the_variables_of_the_procfile() -> None:
    text = (
        "# PORT: Port of `web`. It is\n# one.\n# FOLDER: A folder.\n\n"
        "web: serve --host ${HOST:-localhost} --port ${PORT:-80}\n"
    )
    with pytest.raises(reference.UndocumentedError, match="Describe HOST in"):
        reference.read_procfile(text)
    settings = reference.read_procfile("# HOST: Its address.\n" + text)
    assert [(each.name, each.kind, each.default, each.meaning) for each in settings] == [
        ("HOST", "text", "`localhost`", "Its address."),
        ("PORT", "whole number", "80", "Port of `web`. It is one."),
        ("FOLDER", "text", "empty", "A folder."),
    ]
