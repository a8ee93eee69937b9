import os
import subprocess
import sys
import time
from pathlib import Path

from snap.local import embedded
from snap.local.output import LogFiles, Output
from snap.local.processes import BASE_DIR, Process
from snap.local.supervisor import Supervisor, Watch
from snap.local.wheels import EmbeddedError
from tests.helpers.stack import wait_for


class Dying(embedded.Valkey):
    """A server whose start fails, for example because its data are broken."""

    def start(self) -> None:
        raise EmbeddedError("Valkey did not start: bad file format.")


def test_pauses_before_restarts_grow(tmp_path: Path) -> None:
    server = Dying(tmp_path / "valkey")
    watch = Watch(server, server.start)
    assert watch.check() == (
        "valkey ended (not started). It is restarted in 1 s (make logs ONLY=valkey)"
    )
    pauses = []
    for _ in range(6):
        assert watch.restart_at is not None
        watch.restart_at = 0  # The pause is over.
        assert watch.check().startswith("Valkey did not start: bad file format. It is restarted")
        pauses.append(round(watch.restart_at - time.monotonic()))
        assert watch.check() == ""
    assert pauses == [2, 4, 8, 16, 30, 30]


def test_output_of_a_process_goes_to_its_log_and_its_end_to_the_screen(tmp_path: Path) -> None:
    logs = LogFiles(tmp_path / "log")
    process = Process("web", "sh -c 'echo hello; exit 3'", os.environ)
    supervisor = Supervisor([process], [], Output(logs, ["web"], verbose=False))
    supervisor.start()
    wait_for(lambda: not process.is_running())
    assert supervisor.first_ended() is process
    wait_for(lambda: logs.path("web").read_text() != "")
    supervisor.check()
    supervisor.stop()
    assert logs.path("web").read_text().startswith("hello\n")
    assert "web ended (exit code 3)" in logs.path("web").read_text()


STOPPED_IN_A_FORK = """\
import os, pathlib, signal, sys
from snap.local import stack
from snap.local.output import LogFiles, Output
from snap.local.processes import Process
from snap.local.supervisor import Supervisor

stack.catch_signals()
os.register_at_fork(after_in_parent=lambda: signal.raise_signal(signal.SIGTERM))
output = Output(LogFiles(pathlib.Path(sys.argv[1])), ["sleeper"], verbose=False)
supervisor = Supervisor([Process("sleeper", "sleep 60", os.environ)], [], output)
try:
    supervisor.start()
    stack.watch_until_stopped(supervisor)
finally:
    supervisor.stop()
"""


def test_a_signal_in_the_middle_of_a_fork_stops_it(tmp_path: Path) -> None:
    """Python ignores the handler's exception there, and a second signal is ignored by us."""
    command = [sys.executable, "-c", STOPPED_IN_A_FORK, str(tmp_path / "log")]
    stopped = subprocess.run(command, cwd=BASE_DIR, capture_output=True, text=True, timeout=30)
    assert "Exception ignored" in stopped.stderr
    assert stopped.returncode == 0
