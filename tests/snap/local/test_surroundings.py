"""`make run` in surroundings that are not its own: each works, or ends with one sentence."""

import os
import shutil
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from snap.local.environment import StartError, another_port, bind, find_addresses, require_loopback
from snap.local.processes import BASE_DIR
from tests.helpers.disks import small_disk
from tests.helpers.local_run import NOT_COPIED, Run
from tests.helpers.stack import http

# What shells of other projects have. Each of these has made `make run` fail or connect elsewhere.
FOREIGN = {
    **dict.fromkeys(("http_proxy", "HTTP_PROXY", "https_proxy", "all_proxy"), "http://127.0.0.1:9"),
    **dict.fromkeys(("PGHOST", "PGSERVICE", "PGDATABASE", "PGUSER"), "nowhere"),
    "PGHOSTADDR": "192.0.2.1",
    "PGPORT": "1",
    "PGOPTIONS": "-c nonsense=1",
    "PGSSLMODE": "verify-full",
    "PGSSLNEGOTIATION": "direct",
    "PGREQUIREAUTH": "none",
    "PGCHANNELBINDING": "require",
    "PGTARGETSESSIONATTRS": "standby",
    "PGDATESTYLE": "German",
    "PGCLIENTENCODING": "nonsense",
    "PGPASSFILE": "/dev/null/none",
    "CELERY_BROKER_URL": "redis://127.0.0.1:1/0",
    "CELERY_RESULT_BACKEND": "nonsense://",
    "CELERY_CONFIG_MODULE": "nonsense",
    "APP": "nonsense",
    "LOADER": "nonsense",
    "GRANIAN_PORT": "1",
    "GRANIAN_UDS": "/dev/null/none/socket",
    "GRANIAN_INTERFACE": "asgi",
    "UVICORN_UDS": "/dev/null/none/socket",
    "UVICORN_FD": "77",
    "WEB_CONCURRENCY": "3",
    "FORWARDED_ALLOW_IPS": "*",
    "DJANGO_SETTINGS_MODULE": "nonsense.settings",
    "PROMETHEUS_MULTIPROC_DIR": "/dev/null/none",
    "prometheus_multiproc_dir": "/dev/null/none",
    "PYTHONOPTIMIZE": "2",
    "PYTHONWARNINGS": "error",
    "LANG": "nonsense",
    "LC_ALL": "C",
    "TZ": "Nonsense/Zone",
    "TMPDIR": "/dev/null/none",
    "HOME": "/dev/null/none",
    "DATABASE_URL": "",
    "REDIS_URL": "",
    "WEB_WORKERS": "",
}


@pytest.mark.slow
@pytest.mark.processes
def test_it_works_whatever_the_shell_sets_for_others(checkout: Path) -> None:
    run = Run(checkout, **FOREIGN)
    run.wait_until_ready()
    told = http.get(f"{run.url}/readyz").json()
    assert (told["level"], told["workers"]) == (1, "ok")
    # In another terminal, commands work on the same database.
    command = [sys.executable, "manage.py", "audit"]
    # `make run` gives its processes a folder for metrics. A command would write to the given one.
    env = {name: value for name, value in run.env.items() if "multiproc" not in name.lower()}
    audit = subprocess.run(command, cwd=checkout, env=env, capture_output=True, text=True)
    assert audit.returncode == 0, audit.stderr
    run.stop()


@pytest.mark.slow
@pytest.mark.processes
@pytest.mark.parametrize("kilobytes", [30_000, 53_500, 56_000])
def test_a_full_disk(kilobytes: int) -> None:
    """The disk is full while PostgreSQL creates its data, then a database, and in the demo."""
    with (
        tempfile.TemporaryDirectory(prefix="snap-disk-") as folder,
        small_disk(Path(folder) / "disk", kilobytes) as disk,
    ):
        # PostgreSQL's own user needs access when the tests run as root.
        for each in (Path(folder), disk):
            each.chmod(0o711)
        copy = disk / "snap"
        shutil.copytree(BASE_DIR, copy, ignore=NOT_COPIED)
        text = Run(copy).fail()
    sentence = text.splitlines()[-1]
    assert sentence.startswith("SNAP cannot start: ")
    assert "is full; free some space on it." in sentence or "No space left on device" in sentence
    assert "Traceback" not in text


def test_a_machine_that_does_not_reach_itself() -> None:
    program = "from snap.local.environment import require_loopback; require_loopback()"
    command = ["unshare", "--net", sys.executable, "-c", program]
    if os.geteuid() or subprocess.run(["unshare", "--net", "true"], check=False).returncode:
        pytest.skip("only root can leave the network")
    refused = subprocess.run(command, cwd=BASE_DIR, capture_output=True, text=True, check=False)
    assert "its loopback interface is down. As root: ip link set lo up" in refused.stderr
    require_loopback()


@pytest.mark.parametrize("host", ["192.0.2.1", "2001:db8::1", "no-such-host.invalid"])
def test_a_host_that_is_not_of_this_machine(monkeypatch: pytest.MonkeyPatch, host: str) -> None:
    monkeypatch.setenv("WEB_HOST", host)
    with pytest.raises(StartError) as refused:
        find_addresses()
    sentence = str(refused.value)
    assert sentence.startswith(f"WEB_HOST={host} is no address of this machine (")
    assert sentence.endswith(" Leave it out for all interfaces, or use WEB_HOST=127.0.0.1 make run")


@pytest.mark.skipif(not socket.has_ipv6, reason="this machine has no IPv6")
def test_a_host_can_be_of_ipv6() -> None:
    try:
        bind("::1", 0)
    except OSError:
        pytest.skip("this machine has no IPv6")


def test_a_privileged_port_leads_to_one_for_everybody() -> None:
    assert [another_port(port) for port in (80, 8000, 65_535)] == [8080, 8010, 55_535]


@pytest.mark.slow
def test_an_unreachable_redis(checkout: Path) -> None:
    text = Run(checkout, REDIS_URL="redis://127.0.0.1:1").fail()
    assert text.splitlines()[-1].startswith(
        "SNAP cannot start: the Redis at REDIS_URL does not respond: "
    )
    assert "Traceback" not in text


# Before Python has its packages -------------------------------------------------------------------


def make(folder: Path, *arguments: str, **variables: str) -> tuple[int, list[str]]:
    """Return the status of a make, and the sentences that it shows."""
    command = ["make", "--no-print-directory", "--file", str(BASE_DIR / "Makefile"), *arguments]
    environment = {"PATH": os.environ["PATH"], **variables}
    done = subprocess.run(
        command,
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    lines = [line for line in done.stdout.splitlines() if not line.startswith("make: ***")]
    return done.returncode, lines


@pytest.fixture
def bare(tmp_path: Path) -> Path:
    """A folder with what make needs before it installs packages."""
    (tmp_path / "requirements.txt").touch()
    return tmp_path


def test_a_python_that_does_not_exist(bare: Path) -> None:
    status, lines = make(bare, "run", PYTHON="nopython")
    assert (status, lines) == (
        2,
        [
            "SNAP cannot start: there is no program nopython. Install Python 3.11 or newer, or name"
            " another one: make run PYTHON=python3.12"
        ],
    )


def test_a_python_that_is_too_old(bare: Path) -> None:
    old = bare / "python"
    # It says of itself what an old one says.
    old.write_text(
        f'#!/bin/sh\nexec {sys.executable} -c "import sys; sys.version_info = (3, 9);'
        ' sys.version = \'3.9.2 (old)\'; exec(sys.argv[1])" "$2"\n'
    )
    old.chmod(0o755)
    status, lines = make(bare, "run", PYTHON=str(old))
    assert (status, lines) == (
        2,
        [
            "SNAP cannot start: it needs Python 3.11 or newer; this is 3.9.2. Name another one:"
            " make run PYTHON=python3.12"
        ],
    )


def test_a_checkout_that_cannot_be_written(bare: Path) -> None:
    (bare / ".venv").touch()
    status, lines = make(bare, "run", PYTHON=sys.executable)
    assert (status, lines) == (
        2,
        [
            f"SNAP cannot start: {bare}/.venv cannot be written. Change its owner, or use a"
            " checkout that belongs to you."
        ],
    )


def test_an_environment_whose_python_is_gone(bare: Path) -> None:
    (bare / ".venv" / "bin").mkdir(parents=True)
    (bare / ".venv" / "bin" / "python").symlink_to("/dev/null/none/python")
    (bare / ".venv" / ".run").touch()
    status, lines = make(bare, "run")
    assert (status, lines) == (
        2,
        [
            "SNAP cannot start: the Python that .venv was made with is gone. Remove .venv and try"
            " again."
        ],
    )


def test_packages_that_cannot_be_installed(bare: Path) -> None:
    """A Python that fails stands for an index that cannot be reached, or a full disk."""
    binaries = bare / ".venv" / "bin"
    binaries.mkdir(parents=True)
    for name in ("python", "uv"):
        (binaries / name).write_text('#!/bin/sh\ncase "$*" in *install*) exit 1;; esac\n')
        (binaries / name).chmod(0o755)
    status, lines = make(bare, "run", PYTHON=sys.executable, PIP_TARGET="/x")
    assert status == 2
    assert lines[-1].startswith("SNAP cannot start: its packages could not be installed, ")
    assert not (bare / ".venv" / ".run").exists()


def test_a_command_without_packages() -> None:
    """Python without site-packages stands for one outside of .venv."""
    command = [sys.executable, "-I", "-S", "manage.py", "check"]
    refused = subprocess.run(command, cwd=BASE_DIR, capture_output=True, text=True, check=False)
    assert refused.returncode == 1
    assert refused.stderr == (
        f"SNAP cannot start: the package django is not installed for {sys.executable};"
        " run `make run` once, and use .venv/bin/python manage.py.\n"
    )
