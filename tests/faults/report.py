"""Writes docs/reliability.md from the results of the scenarios."""

import os
import platform
import re
import sys
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from tests.faults.result import ScenarioResult

COLUMNS = (
    "accepted",
    "lost",
    "doubled",
    "over capacity",
    "slowest response",
    "time to heal",
    "pages updated",
)
HEADER = f"| scenario | {' | '.join(COLUMNS)} |"
LINE = f"|---|{'--:|' * len(COLUMNS)}"
HOW_HEADER = "## How each part was broken"
# A scenario's row in the table, and its sentence about the fault.
ROW = re.compile(r"\| (.+?)(?: \*\*failed\*\*)? \| [\d,]+ \|")
HOW = re.compile(r"- \*\*(.+?)\*\*: .* Accepted: ")


@dataclass(frozen=True)
class MeasuredScenario:
    """One scenario: its name, a sentence about the fault, and the result."""

    name: str
    broken: str
    result: ScenarioResult


def write_report(
    path: Path, scenarios: list[MeasuredScenario], *, form: str, has_ended: bool
) -> None:
    """Write the document. It says so when the run has not ended.

    Rows of scenarios that this run has not measured stay as they are.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    before = path.read_text().splitlines() if path.exists() else []
    rows = _merged(ROW, before, _rows(scenarios))
    how = _merged(HOW, before, _how(scenarios))
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
    """Return the earlier lines of one kind, with new lines in place of those of their scenario."""
    found = {match[1]: line for line in before if (match := kind.match(line))}
    return list((found | {_name(kind, line): line for line in new}).values())


def _name(kind: re.Pattern[str], line: str) -> str:
    match = kind.match(line)
    assert match is not None, line
    return match[1]


def _introduction(form: str, *, has_ended: bool) -> list[str]:
    so_far = "" if has_ended else "**This run has not ended: more scenarios follow.** "
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    machine = f"{os.cpu_count()} cores and {memory:.0f} GB of memory, {platform.machine()}"
    load = os.getloadavg()[2]
    packages = ", ".join(f"{name} {version(name)}" for name in ("django", "celery", "psycopg"))
    python = ".".join(str(part) for part in sys.version_info[:3])
    return [
        "# Reliability: what was broken, and what was lost",
        "",
        "The tests in `tests/faults` write this page; do not edit it by hand. While many simulated"
        " visitors ask for places over HTTP, a test breaks a server, a process, a clock or a disk"
        " and then repairs it. It compares every response with the rows, the journal and the"
        " history.",
        "",
        f"{so_far}Measured in {form}, with everything (servers, processes, storm) on one machine"
        f" with {machine}: Python {python}, {packages}. The load average was {load:.1f} at the end."
        " On a busy machine the times are longer. A scenario that is measured alone replaces its"
        " own row; the other rows stay.",
        "",
        "- **lost**: accepted (a `202`, or a `200` with the place), and neither guest, nor in the"
        " waiting list, nor refused, nor kept as a failed request that staff see",
        "- **doubled**: two guests of one person, or a guest without a request. An email that is"
        " sent twice fails the scenario",
        "- **slowest response**: seconds. More than 6 fails the long form, more than 20 the short"
        " form",
        "- **time to heal**: seconds from the repair (or a later acceptance) to the end of the last"
        " request. More than 15 fails the long form, more than 45 the short form",
        "- **pages updated**: seconds from the repair (or a later acceptance) until the last page"
        " shows the end. Pages poll as `static/js/ticket.js` does, and one in three has a socket as"
        " well. More than 15 fails the long form, and more than 5 after an outage of the database",
        "",
    ]


def _rows(scenarios: list[MeasuredScenario]) -> list[str]:
    rows = []
    for scenario in scenarios:
        v = scenario.result
        failed = " **failed**" if v.wrong else ""
        numbers = f"{v.accepted:,} | {v.lost} | {v.doubled} | {v.over_capacity}"
        seconds = f"{v.slowest:.2f} | {v.healing:.1f} | {v.pages_updated:.1f}"
        rows.append(f"| {scenario.name}{failed} | {numbers} | {seconds} |")
    return rows


def _how(scenarios: list[MeasuredScenario]) -> list[str]:
    lines = []
    for scenario in scenarios:
        levels = scenario.result.by_level.items()
        at_levels = ", ".join(f"{count:,} at level {level}" for level, count in levels)
        lines.append(f"- **{scenario.name}**: {scenario.broken} Accepted: {at_levels or 'none'}.")
    return lines
