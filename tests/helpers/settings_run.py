"""Reads `snap/settings.py` with a given environment, in this process: it takes milliseconds."""

import os
from functools import cache
from pathlib import Path
from types import CodeType
from typing import Any

import pytest

from snap.local.processes import BASE_DIR

SETTINGS = BASE_DIR / "snap" / "settings.py"
# A folder without var/env, which `make run` may have left in this checkout.
ELSEWHERE = Path("/nowhere/snap/settings.py")
REQUIRED = {
    "SECRET_KEY": "s" * 50,
    "PUBLIC_URL": "http://localhost:8000",
    "DATABASE_URL": "postgres://localhost/snap",
    "REDIS_URL": "redis://localhost",
}


def read_settings(**variables: str) -> dict[str, Any]:
    """Return the settings under REQUIRED and these variables. Raises SettingError."""
    return read_from(REQUIRED | variables)


def read_from(environ: dict[str, str]) -> dict[str, Any]:
    """Return the settings under these variables alone, some of which are removed."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "environ", environ)
        settings: dict[str, Any] = {"__file__": str(ELSEWHERE)}
        exec(_code(), settings)
        return settings


@cache
def _code() -> CodeType:
    return compile(SETTINGS.read_text(), str(SETTINGS), "exec")


def refusal(**variables: str) -> str:
    """Return the sentence with which the settings refuse these variables."""
    with pytest.raises(SystemExit) as refused:
        read_settings(**variables)
    assert isinstance(refused.value.code, str), "a process would end without a sentence"
    return refused.value.code
