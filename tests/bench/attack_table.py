"""The table of docs/security.md, and the figures that it comes from."""

import json
import re
from pathlib import Path
from typing import Any

START, END = "<!-- attacks: written by `make bench PARTS=attacks` -->", "<!-- /attacks -->"


ROWS: dict[str, tuple[str, ...]] = {
    "Consecutive phones of which one address learns whether they have an account": ("row/told",),
    "Random phones of which one address learns that": ("random/told",),
    "Challenges solved for these, consecutive / random": ("row/solved", "random/solved"),
    "Emails to one victim, caused by registrations": ("pump/emails",),
    "Passwords compared for 24 connections to the sign-in of staff": ("flood/passwords",),
    "An event's page meanwhile, p50 / p95 ms": ("flood/p50", "flood/p95"),
    "The same page without the attack, p50 / p95 ms": ("flood/quiet/p50", "flood/quiet/p95"),
    "Places taken by proving another email, of five tries": ("takeover/taken",),
    "Guests with a place, of 1,000 behind one carrier's address": ("crowd/through",),
    "Seconds until the last of them; all came within 30": ("crowd/seconds",),
    "Seconds that one of them took, p50 / p95": ("crowd/p50", "crowd/p95"),
}


def keep(folder: Path, run: dict[str, Any], *, is_before: bool) -> None:
    """Keep the figures of a run in security.json, and replace the table in security.md."""
    path, document = folder / "security.json", folder / "security.md"
    kept = json.loads(path.read_text()) if path.exists() else {}
    kept["before" if is_before else "now"] = run
    folder.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(kept, indent=1) + "\n")
    if document.exists():
        document.write_text(with_table(document.read_text(), kept))


def with_table(text: str, kept: dict[str, Any]) -> str:
    """Return a document with the table between its marks. Raises ValueError without marks."""
    if START not in text or END not in text:
        raise ValueError("security.md has no place for the table")
    runs = [kept[name] for name in ("before", "now") if name in kept]
    head = ["in a minute, from one address", *(f"`{run['commit']}`" for run in runs)]
    lines = [_row(head), "|---|" + "--:|" * len(runs)]
    lines += [
        _row([label, *(_cell(run["figures"], names) for run in runs)])
        for label, names in ROWS.items()
    ]
    table = "\n".join(["", *lines, ""])
    pattern = re.compile(re.escape(START) + ".*?" + re.escape(END), re.DOTALL)
    return pattern.sub(lambda _: f"{START}\n{table}\n{END}", text)


def _row(cells: list[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _cell(figures: dict[str, float], names: tuple[str, ...]) -> str:
    return " / ".join(f"{figures[name]:,.0f}" if name in figures else "–" for name in names)
