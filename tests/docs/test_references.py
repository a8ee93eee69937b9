"""Documentation names only files, functions, commands and settings that exist."""

from pathlib import Path

import pytest

from tests.docs.references import ROOT, stale_references

DOCUMENTS = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "SECURITY.md",
    *sorted((ROOT / "docs").rglob("*.md")),
]


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_everything_that_a_document_names_exists(path: Path) -> None:
    problems = stale_references(path.read_text(), path.parent)
    assert not problems, "\n".join(problems)


@pytest.mark.parametrize(
    "text",
    [
        "`snap/settings.py`, `templates/emails/<kind>.html` and `tests/docs/`",
        "`promo/steps.py: step_phone` and `promo/steps.py: Step.PHONE`",
        "`accounts.models`, `accounts.models.User` and `accounts.change_claim`",
        "`make test`, `manage.py audit` and `.venv/bin/python manage.py sweeper`",
        "`settings.py`, `step_phone`, `PhoneForm`, `step_phone()`",
        "`test_every_text_is_translated` and `test_every_route_is_on_the_page`",
        "LIMIT_IP, `LIMIT_IP` and [the readme](README.md#two-commands)",
        "`no-store`, `429`, `<template>`, `/promo/` and `make`",
    ],
)
def test_an_existing_name_is_no_problem(text: str) -> None:
    assert stale_references(text) == []


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("`snap/setings.py`", "snap/setings.py does not exist."),
        ("`templates/emails/<kind>.pdf`", "templates/emails/*.pdf does not exist."),
        ("`promo/steps.py: no_step`", "promo/steps.py does not define no_step."),
        ("`promo/steps.py: Step.NONE`", "promo/steps.py does not define Step.NONE."),
        ("`tests/conftest.py::test_no`", "tests/conftest.py does not define test_no."),
        ("`accounts.models.Nobody`", "accounts.models.Nobody does not exist."),
        ("`accounts.no_module`", "accounts.no_module does not exist."),
        (
            "`accounts.change_nobody`",
            "There is no model for the permission accounts.change_nobody.",
        ),
        ("`make coffee`", "The Makefile has no target coffee."),
        ("`manage.py coffee`", "There is no command coffee."),
        ("`setings.py`", "No file is named setings.py."),
        ("`test_there_is_none`", "No test is named test_there_is_none."),
        ("`no_such_function`", "No code has the name no_such_function."),
        ("`NoSuchClass.a_missing_one`", "No code has the name NoSuchClass.a_missing_one."),
        ("LIMIT_NOBODY", "No code has the setting or constant LIMIT_NOBODY."),
        ("[it](docs/nothing.md)", "The link to docs/nothing.md leads nowhere."),
        ("[it](#nothing)", "The link to #nothing leads to no heading."),
        ("a span over `manage.py\ncoffee` lines", "There is no command coffee."),
    ],
)
def test_a_missing_name_is_found(text: str, problem: str) -> None:
    assert stale_references(text) == [problem]
