"""The list of private names of other packages in tests/helpers/private_parts.py is complete."""

import tomllib

from snap.local.processes import BASE_DIR
from tests.helpers.private_parts import (
    DOCUMENTED_NAMES,
    PRIVATE_NAMES,
    UNDOCUMENTED,
    names_by_place,
)


def test_every_private_name_in_the_code_is_listed() -> None:
    listed = set[str]().union(*PRIVATE_NAMES.values())
    unknown = {}
    for name, place in names_by_place().items():
        if name not in listed | DOCUMENTED_NAMES:
            unknown[name] = place
    assert not unknown, (
        f"private names of other packages without a test: {unknown}. Use a documented way, or list "
        "them in PRIVATE_NAMES and test what the code relies on."
    )


def test_every_name_that_is_listed_here_is_in_the_code() -> None:
    listed = set[str]().union(*PRIVATE_NAMES.values())
    unused = listed - names_by_place().keys()
    assert not unused, f"no longer in the code, so remove them here: {unused}"


def test_every_package_with_private_parts_in_use_has_an_upper_bound() -> None:
    project = tomllib.loads((BASE_DIR / "pyproject.toml").read_text())["project"]
    unbounded = []
    for package in [*PRIVATE_NAMES, *UNDOCUMENTED]:
        requirements = [
            line
            for line in project["dependencies"]
            if line.startswith((f"{package}>", f"{package}["))
        ]
        if not any("<" in requirement for requirement in requirements):
            unbounded.append(package)
    assert not unbounded, f"pyproject.toml needs an upper bound for {unbounded}"
