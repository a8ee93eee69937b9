"""Writing docs/reliability.md from what was measured."""

import os
import platform
import re
import sys
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from tests.faults.verdict import Verdict

COLUMNS = (
    "accepted",
    "lost",
    "doubled",
    "over capacity",
    "slowest answer",
    "time to heal",
    "heard",
)
HEADER = f"| scenario | {' | '.join(COLUMNS)} |"
LINE = f"|---|{'--:|' * len(COLUMNS)}"
HOW_HEADER = "## What was broken, and how"
# A scenario's line in the table, and the one that says how.
ROW = re.compile(r"\| (.+?)(?: \*\*failed\*\*)? \| [\d,]+ \|")
HOW = re.compile(r"- \*\*(.+?)\*\*: .* Accepted: ")


@dataclass(frozen=True)
class Result:
    """A scenario by its name, how things were broken, and what came of it."""

    scenario: str
    broken: str
    verdict: Verdict


def write_report(path: Path, results: list[Result], *, form: str, has_ended: bool) -> None:
    """Write the document; it says so when the run that it is of has not ended.

    What scenarios gave that this run has not measured, or not yet, stays as the document has it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    before = path.read_text().splitlines() if path.exists() else []
    rows = _merged(ROW, before, _rows(results))
    how = _merged(HOW, before, _how(results))
    lines = [
        *_introduction(form, has_ended=has_ended),
        HEADER,
        LINE,
        *rows,
        "",
        HOW_HEADER,
        "",
        *how,
    ]
    path.write_text("\n".join(lines) + "\n")


def _merged(kind: re.Pattern[str], before: list[str], new: list[str]) -> list[str]:
    """Return lines of one kind, a scenario each: those of before, with new ones in their places."""
    found = {match[1]: line for line in before if (match := kind.match(line))}
    return list((found | {_name(kind, line): line for line in new}).values())


def _name(kind: re.Pattern[str], line: str) -> str:
    match = kind.match(line)
    assert match is not None, line
    return match[1]


def _introduction(form: str, *, has_ended: bool) -> list[str]:
    so_far = "" if has_ended else "**This run was not over: more scenarios follow.** "
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    machine = f"{os.cpu_count()} cores and {memory:.0f} GB of memory, {platform.machine()}"
    load = os.getloadavg()[2]
    packages = ", ".join(f"{name} {version(name)}" for name in ("django", "celery", "psycopg"))
    python = ".".join(str(part) for part in sys.version_info[:3])
    return [
        "# What happens when things break",
        "",
        "Written by the tests in `tests/faults`, never by hand. While a storm of people asks for"
        " places over real HTTP, something is broken for real; then it is healed, and what every"
        " person was told is set against the rows, the journal and the history.",
        "",
        f"{so_far}Measured in {form}, with everything (servers, processes, storm) on one machine"
        f" with {machine}: Python {python}, {packages}. The load average was {load:.1f} at the end;"
        " on a machine that is busy with other work the seconds are those of that work too. A"
        " scenario that is measured alone takes its own row's place; the others stay as they were.",
        "",
        "- **lost**: accepted (a `202`, or a `200` with the place in it), and neither guest, nor in"
        " the waiting list, nor refused, nor kept as a failed request that staff see",
        "- **doubled**: two guests of one person, a guest who never asked; an email twice fails the"
        " scenario",
        "- **slowest answer**: what anybody waited for one, in seconds; more than 6 fails the"
        " long form, more than 20 the short one",
        "- **time to heal**: seconds from the healing (or a later acceptance) to the end of the"
        " last ticket; more than 15 fails the long form, more than 45 the short one",
        "- **heard**: seconds from the healing (or a later acceptance) until the last person's page"
        " shows the end. Pages poll as `static/js/ticket.js` does, one in three has a socket as"
        " well; more than 15 fails the long form, and more than 5 after an outage of the database",
        "",
    ]


def _rows(results: list[Result]) -> list[str]:
    rows = []
    for result in results:
        v = result.verdict
        failed = " **failed**" if v.wrong else ""
        numbers = f"{v.accepted:,} | {v.lost} | {v.doubled} | {v.over_capacity}"
        seconds = f"{v.slowest:.2f} | {v.healing:.1f} | {v.heard:.1f}"
        rows.append(f"| {result.scenario}{failed} | {numbers} | {seconds} |")
    return rows


def _how(results: list[Result]) -> list[str]:
    lines = []
    for result in results:
        levels = result.verdict.by_level.items()
        at_levels = ", ".join(f"{count:,} at level {level}" for level, count in levels)
        lines.append(f"- **{result.scenario}**: {result.broken} Accepted: {at_levels or 'none'}.")
    return lines
