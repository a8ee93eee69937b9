import subprocess
from pathlib import Path

import pytest

from snap.local.output import LogFiles, Output
from snap.local.processes import BASE_DIR

ERROR = (
    "2026-11-27 14:04:18,529 ERROR django.request Internal Server Error: /promo/ status_code=500"
)
TRACEBACK = (
    "Traceback (most recent call last):",
    '  File "views.py", line 70, in events',
    "    raise ValueError('boom')",
    "",
    "ValueError: boom",
)


@pytest.fixture
def logs(tmp_path: Path) -> LogFiles:
    return LogFiles(tmp_path / "log")


@pytest.fixture
def output(logs: LogFiles) -> Output:
    return Output(logs, ["web", "worker"], verbose=False)


def shown(capfd: pytest.CaptureFixture[str]) -> list[str]:
    """Return the sentences on the screen, without their times."""
    return [line[9:] for line in capfd.readouterr().out.splitlines()]


def feed(output: Output, *lines: str) -> None:
    for line in lines:
        output.process_line("web", line)


def test_usual_lines_go_to_the_logs_only(
    output: Output, logs: LogFiles, capfd: pytest.CaptureFixture[str]
) -> None:
    feed(output, "Started worker-1")
    output.print_pending_errors()
    assert shown(capfd) == []
    assert logs.path("web").read_text() == "Started worker-1\n"
    assert logs.path("all").read_text() == "web    | Started worker-1\n"


def test_an_error_with_its_traceback_is_one_sentence(
    output: Output, logs: LogFiles, capfd: pytest.CaptureFixture[str]
) -> None:
    feed(output, ERROR, *TRACEBACK)
    output.print_pending_errors()
    assert shown(capfd) == [
        "web logged an error: ValueError: boom (Internal Server Error: /promo/)"
        " (make logs ONLY=web)"
    ]
    assert logs.path("web").read_text().splitlines() == [ERROR, *TRACEBACK]


def test_an_error_without_a_traceback_is_shown_a_moment_later(
    output: Output, capfd: pytest.CaptureFixture[str]
) -> None:
    feed(output, "[ERROR] Unexpected exit from worker-1")
    assert shown(capfd) == []
    output.print_pending_errors()
    output.print_pending_errors()
    assert shown(capfd) == [
        "web logged an error: Unexpected exit from worker-1 (make logs ONLY=web)"
    ]


def test_an_exception_that_is_not_logged_is_shown(
    output: Output, capfd: pytest.CaptureFixture[str]
) -> None:
    feed(output, *TRACEBACK)
    assert shown(capfd) == ["web logged an error: ValueError: boom (make logs ONLY=web)"]


def test_a_repeated_error_is_shown_once_and_another_one_too(
    output: Output, capfd: pytest.CaptureFixture[str]
) -> None:
    for _ in range(3):
        feed(output, *TRACEBACK)
    feed(output, TRACEBACK[0], "KeyError: 'x'")
    assert len(shown(capfd)) == 2


def test_a_long_error_is_cut_on_the_screen(
    output: Output, capfd: pytest.CaptureFixture[str]
) -> None:
    feed(output, TRACEBACK[0], "ValueError: " + "x" * 500)
    [sentence] = shown(capfd)
    assert len(sentence) < 160
    assert sentence.endswith("… (make logs ONLY=web)")


def test_verbose_shows_every_line(logs: LogFiles, capfd: pytest.CaptureFixture[str]) -> None:
    output = Output(logs, ["web", "worker"], verbose=True)
    feed(output, "Started worker-1", ERROR)
    output.print_pending_errors()
    assert capfd.readouterr().out == f"web    | Started worker-1\nweb    | {ERROR}\n"


def test_nothing_is_shown_while_processes_stop(
    output: Output, logs: LogFiles, capfd: pytest.CaptureFixture[str]
) -> None:
    output.mute()
    feed(output, *TRACEBACK)
    output.report("web", "web ended (exit code 1).")
    assert shown(capfd) == []
    assert "web ended (exit code 1)." in logs.path("web").read_text()


def test_each_process_has_a_log_before_its_first_line(output: Output, logs: LogFiles) -> None:
    for name in ("all", "web", "worker"):
        assert logs.path(name).read_text() == ""


def follow_log(folder: Path, only: str) -> subprocess.CompletedProcess[str]:
    # A make that is run by `make test` names its folder.
    make = ["make", "--no-print-directory", "--file", str(BASE_DIR / "Makefile")]
    command = [*make, "logs", f"ONLY={only}"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def test_make_logs_names_the_logs_that_there_are(tmp_path: Path) -> None:
    refused = follow_log(tmp_path, "web")
    assert refused.returncode != 0
    assert refused.stdout == "There are no logs yet. `make run` writes them.\n"
    folder = tmp_path / "var" / "log"
    folder.mkdir(parents=True)
    Output(LogFiles(folder), ["web", "ws"], verbose=False)
    refused = follow_log(tmp_path, "postgres")
    assert refused.returncode != 0
    assert refused.stdout == "No log named postgres. There are: all, web, ws.\n"


def test_the_logs_of_the_run_before_are_kept(tmp_path: Path) -> None:
    LogFiles(tmp_path / "log").write("web", "first\n")
    LogFiles(tmp_path / "log").write("web", "second\n")
    logs = LogFiles(tmp_path / "log")
    logs.write("web", "third\n")
    assert (tmp_path / "log" / "web.log.1").read_text() == "second\n"
    assert logs.path("web").read_text() == "third\n"
    assert logs.path("web").stat().st_mode & 0o777 == 0o600
    assert logs.last_lines("web", 5) == "  third"
    assert logs.last_lines("ws", 5) == ""
