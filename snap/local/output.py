"""What `make run` shows on the screen, and what it writes to the log files in var/log."""

import os
import re
import sys
import threading
import time
from collections.abc import Collection
from contextlib import suppress
from datetime import datetime
from pathlib import Path

from honcho.colour import get_colours

from snap.local.activity import Fields, describe, read_line

# The log of all processes together. Each process has a file of its own beside it.
ALL = "all"
# Seconds for which further errors of the same kind and process go to its log only.
ERROR_PAUSE = 10.0
# Characters of an error that the screen shows. The log has all of it.
ERROR_LENGTH = 100

# An error in the format of our logs (after the logger's name), or of granian's own start.
_ERROR = re.compile(r"(?:\d{4}-\S+ \S+ (?:ERROR|CRITICAL) \S+|\[(?:ERROR|CRITICAL)\]) (.+)")
_FIELDS = re.compile(r" \w+=.*")
_TRACEBACK = "Traceback (most recent call last):"


class ErrorFinder:
    """Find the errors in the log lines of one process.

    An error is a logged event, a traceback, or an event with the traceback that follows it. A
    traceback counts with its last line, which names the exception.
    """

    def __init__(self) -> None:
        self._event = ""
        self._in_traceback = False

    def find(self, line: str, fields: Fields) -> str:
        """Return the error that is complete with this line, or an empty string.

        `fields` are those of the line. A line in LOG_FORMAT=ecs has its traceback in itself.
        """
        if line.startswith("{") and fields:
            return self.take_event() or _error_in(fields)
        if self._in_traceback:
            return self._read_traceback(line)
        if line.startswith(_TRACEBACK):
            self._in_traceback = True
            return ""
        earlier_event = self.take_event()
        match = _ERROR.match(line)
        if match is not None:
            self._event = _FIELDS.sub("", match[1])
        return earlier_event

    def take_event(self) -> str:
        """Return the event that no traceback has followed yet, or an empty string."""
        if self._in_traceback:
            return ""
        event, self._event = self._event, ""
        return event

    def _read_traceback(self, line: str) -> str:
        if not line or line.startswith((" ", "\t")):
            return ""
        self._in_traceback = False
        event = self.take_event()
        if not event:
            return line
        return f"{line} ({event})"


def _error_in(fields: Fields) -> str:
    """Return the error of a line in LOG_FORMAT=ecs, "" for none."""
    if fields.get("level") not in {"error", "critical"}:
        return ""
    error, message = fields.get("error_type", ""), fields.get("message", "")
    if not error:
        return message
    return f"{error}: {fields.get('error', '')} ({message})"


class LogFiles:
    """One log file for each process and one for all. The previous run's files end with `.1`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._descriptors: dict[str, int] = {}
        folder.mkdir(mode=0o700, exist_ok=True)
        for path in folder.glob("*.log"):
            path.replace(path.with_suffix(".log.1"))

    def path(self, name: str) -> Path:
        return self.folder / f"{name}.log"

    def write(self, name: str, text: str) -> None:
        """Append to a log file. A full disk loses the text and stops nothing."""
        with suppress(OSError):
            if name not in self._descriptors:
                flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
                self._descriptors[name] = os.open(self.path(name), flags, mode=0o600)
            os.write(self._descriptors[name], text.encode(errors="replace"))

    def create(self, name: str) -> None:
        """Create an empty log file, so that it can be followed before its first line."""
        self.write(name, "")

    def last_lines(self, name: str, count: int) -> str:
        """Return the last lines of a log file, indented."""
        try:
            lines = self.path(name).read_text(errors="replace").splitlines()
        except OSError:
            return ""
        return "\n".join(f"  {line}" for line in lines[-count:])


class Output:
    """The screen and the log files. Safe to use from several threads.

    The screen shows each error and each end of a process in one sentence, and from `show_activity`
    on a line for each request, email and guest. With `verbose` it shows all lines of all processes.
    """

    def __init__(self, logs: LogFiles, names: Collection[str], *, verbose: bool) -> None:
        self.logs = logs
        self.verbose = verbose
        self.last_output = time.monotonic()
        self._width = max(map(len, names), default=0)
        self._colours = dict(zip(names, get_colours(), strict=False))
        self._coloured = sys.stdout.isatty() and "NO_COLOR" not in os.environ
        self._finders = {name: ErrorFinder() for name in names}
        self._error_times: dict[tuple[str, str], float] = {}
        self._lock = threading.Lock()
        self._muted = False
        self._url = ""
        for name in (ALL, *names):
            logs.create(name)

    def show_activity(self, url: str) -> None:
        """Show from now on what SNAP does. `url` is its address on this machine."""
        self._url = url

    def mute(self) -> None:
        """Show nothing more: what processes report while they stop goes to the logs only."""
        self._muted = True

    def process_line(self, name: str, line: str) -> None:
        """Log a line that a process wrote, and show it if it completes an error."""
        with self._lock:
            self.last_output = time.monotonic()
            self._log(name, line)
            if self.verbose:
                self._print(self._prefix(name) + line)
            else:
                self._show(name, line)

    def _show(self, name: str, line: str) -> None:
        fields = read_line(line)
        self._print_error(name, self._finders[name].find(line, fields))
        if self._url and (shown := describe(fields, self._url, coloured=self._coloured)):
            self._print_sentence(shown)

    def print_pending_errors(self) -> None:
        """Show the logged errors that no traceback has followed."""
        with self._lock:
            for name, finder in self._finders.items():
                self._print_error(name, finder.take_event())

    def report(self, name: str, sentence: str) -> None:
        """Log and show a sentence about a process."""
        with self._lock:
            self._log(name, f"{datetime.now().astimezone():%Y-%m-%d %H:%M:%S} make run: {sentence}")
            self._print_sentence(sentence)

    def _log(self, name: str, line: str) -> None:
        self.logs.write(name, f"{line}\n")
        self.logs.write(ALL, f"{name:<{self._width}} | {line}\n")

    def _print_error(self, name: str, error: str) -> None:
        if not error or not self._is_new(name, error):
            return
        if len(error) > ERROR_LENGTH:
            error = error[:ERROR_LENGTH] + "…"
        self._print_sentence(f"{name} logged an error: {error} {see_log(name)}")

    def _is_new(self, name: str, error: str) -> bool:
        """Return whether no error of this kind (its first word) was shown a moment ago."""
        kind = (name, error.split()[0])
        now = time.monotonic()
        last = self._error_times.get(kind)
        if last is not None and now < last + ERROR_PAUSE:
            return False
        self._error_times[kind] = now
        return True

    def _print_sentence(self, sentence: str) -> None:
        self._print(f"{datetime.now().astimezone():%H:%M:%S} {sentence}")

    def _print(self, line: str) -> None:
        if not self._muted:
            print_text(f"{line}\n")

    def _prefix(self, name: str) -> str:
        prefix = f"{name:<{self._width}} | "
        if not self._coloured:
            return prefix
        return f"\033[0;{self._colours[name]}m{prefix}\033[0m"


def see_log(name: str) -> str:
    """Return the hint that ends a sentence about a process."""
    return f"(make logs ONLY={name})"


def print_text(text: str) -> None:
    """Write to the screen. A closed terminal or pipe loses the text and stops nothing."""
    with suppress(OSError):
        os.write(sys.stdout.fileno(), text.encode(errors="replace"))
