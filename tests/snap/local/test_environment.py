import os
from pathlib import Path

import pytest

from snap.environment.file import read_file
from snap.local.environment import Addresses, complete_environment


def test_lines_that_people_added_to_the_environment_file_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "env"
    path.write_text("EMAIL_PROVIDER=smtp\nEMAIL_HOST=mail\nREDIS_URL=old\n")
    environment = {"DATABASE_URL": "given"}
    monkeypatch.setattr(os, "environ", environment)
    complete_environment(path, {"DATABASE_URL": "made", "REDIS_URL": "new"})
    written = read_file(path)
    assert environment == written | {"DATABASE_URL": "given"}
    assert len(written.pop("SECRET_KEY")) > 50
    assert len(written.pop("INBOX_TOKEN")) > 20
    assert len(written.pop("DEMO_PASSWORD")) == 16
    assert written == {"EMAIL_PROVIDER": "smtp", "EMAIL_HOST": "mail", "REDIS_URL": "new"}
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_key_in_the_real_environment_does_not_replace_the_key_in_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "env"
    path.write_text("SECRET_KEY=kept\n")
    monkeypatch.setattr(os, "environ", {"SECRET_KEY": "given"})
    complete_environment(path, {})
    assert os.environ["SECRET_KEY"] == "given"
    assert read_file(path)["SECRET_KEY"] == "kept"


def test_settings_get_every_name_of_this_machine() -> None:
    addresses = Addresses("0.0.0.0", web_port=8000, ws_port=8001, lan_host="192.0.2.7")
    assert addresses.local_host == "127.0.0.1"
    assert addresses.variables() == {
        "PUBLIC_URL": "http://192.0.2.7:8000",
        "ALLOWED_HOSTS": "localhost,127.0.0.1,192.0.2.7",
        "WEBSOCKET_ORIGINS": "http://localhost:8000,http://127.0.0.1:8000,http://192.0.2.7:8000",
        "WEBSOCKET_PORT": "8001",
    }
