"""Writes what a night was like into docs/operations.md, between two markers."""

import os
import platform
import statistics
import subprocess
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from guests.models import GuestRequest
from snap.local.processes import BASE_DIR
from tests.faults.storm import Response
from tests.helpers.generated import write_generated
from tests.night import logs
from tests.night.night import EXPRESSIONS, FiredAlert, Night

BEGIN = "<!-- The lines from here to the next comment are written by `make night`. -->"
END = "<!-- End of what `make night` writes. -->"
# Seconds between two rows of the table.
EVERY = 10
# Fields of the line of a request, whose message has them.
SAID_BY_MESSAGE = {"method", "path", "route", "status_code"}
PROCESSES = ("web", "ws", "worker", "emails", "sweeper")
CAPTIONS = {
    "rush": "In the rush, before the outage",
    "outage": "PostgreSQL is away",
    "after": "A few seconds after PostgreSQL is back",
    "end": "At the end",
}


def write(night: Night) -> list[str]:
    """Write the section, and return a sentence for each thing that was wrong or is missing."""
    lines = logs.read(night.stack.folder, PROCESSES)
    problems = [*night.problems, *night.result.wrong]
    sections = [
        *_introduction(night),
        *_numbers(night),
        *_timeline(night, problems),
        *_alerts(night, problems),
        *_modes(night, problems),
        *_ways(night, lines, problems),
        *_screens(night, problems),
    ]
    if problems:
        sections += ["", "Wrong or missing in this run:", "", *(f"- {each}" for each in problems)]
    replace_section(night.plan.page, "\n".join(sections))
    return problems


def replace_section(page: Path, section: str) -> None:
    """Put the section between the markers of a page, or make a page of it."""
    before, after = f"{BEGIN}\n", f"\n{END}\n"
    if page.exists() and BEGIN in page.read_text():
        text = page.read_text()
        before = text.partition(BEGIN)[0] + before
        after += text.partition(END)[2].removeprefix("\n")
    write_generated(page, f"{before}\n{section}\n{after}".encode())


def _introduction(night: Night) -> list[str]:
    plan, commit = night.plan, _git("rev-parse", "--short=12", "HEAD")
    cores = os.cpu_count()
    return [
        f"{plan.people:,} people asked for a place within {plan.seconds:g} seconds, by the API"
        " with a session and one in ten by the pages. From second"
        f" {plan.breaks_after:g} on PostgreSQL was killed for {plan.outage:g} seconds. SNAP, its"
        " servers, Prometheus, Alertmanager, a browser and the people shared one machine with"
        f" {cores} cores (Python {platform.python_version()}, commit {commit},"
        f" {datetime.now(UTC):%Y-%m-%d}). Times are seconds after the first arrival.",
        "",
    ]


def _numbers(night: Night) -> list[str]:
    result, moments = night.result, night.moments
    rows = [
        ("accepted", f"{result.accepted:,}"),
        *(
            (f"accepted at level {level}", f"{number:,}")
            for level, number in result.by_level.items()
        ),
        ("lost", str(result.lost)),
        ("doubled", str(result.doubled)),
        ("over the capacity", str(result.over_capacity)),
        ("slowest response", f"{result.slowest:.1f} s"),
        ("last request ended after PostgreSQL was back", f"{result.healing:.1f} s"),
        ("last page showed the end after that", f"{result.pages_updated:.1f} s"),
        *_waits(night),
        ("emails sent", f"{night.emails['sent']:,}"),
        ("last email sent at", _at(night, moments.emails_sent)),
        ("no alert and no mode from", _at(night, moments.quiet)),
    ]
    return _table(("What", "Value"), rows)


def _waits(night: Night) -> list[tuple[str, str]]:
    """Return how long people waited from the click to the end on their page, by level."""
    waits: dict[int, list[float]] = {}
    for response in night.accepted:
        ended = night.crowd.ended.get(response.ticket_id)
        if ended is not None:
            began = response.at - response.seconds
            waits.setdefault(response.level, []).append(ended - began)
    rows = []
    for level, seconds in sorted(waits.items()):
        middle = statistics.median(seconds)
        longest = statistics.quantiles(seconds, n=20)[-1] if len(seconds) > 1 else seconds[0]
        words = f"{middle:.1f} s, 95 % within {longest:.1f} s"
        rows.append((f"click to end at level {level}, median", words))
    return rows


def _timeline(night: Night, problems: list[str]) -> list[str]:
    """A row every EVERY seconds, of what Prometheus had scraped."""
    has_data = [name for name in EXPRESSIONS if night.samples[name]]
    problems += [
        f"Prometheus has no data for `{EXPRESSIONS[name]}`."
        for name in EXPRESSIONS
        if name not in has_data
    ]
    last = round((night.moments.emails_sent or night.moments.ended) - night.moments.began)
    rows = []
    for second in range(0, min(last, 180) + EVERY, EVERY):
        values = [_value(night.samples[name], second) for name in has_data]
        rows.append((str(second), *values))
    return ["### The night in numbers", "", *_table(("second", *has_data), rows)]


def _value(samples: dict[int, float], second: int) -> str:
    """Return the sample nearest to a second, "" if there is none near it."""
    nearest = min(samples, key=lambda at: abs(at - second))
    value = samples[nearest]
    if abs(nearest - second) > EVERY / 2 or value != value:
        return ""
    return f"{value:,.0f}"


def _alerts(night: Night, problems: list[str]) -> list[str]:
    explained = {"DatabaseAway": "PostgreSQL was killed"}
    for change in night.changes:
        if change.is_on:
            explained[f"{change.mode.capitalize()}Mode"] = change.reason
    fired = {alert.name for alert in night.alerts}
    problems += [f"The alert {name} did not fire." for name in explained if name not in fired]
    rows = []
    for alert in night.alerts:
        why = explained.get(alert.name, "")
        if not why:
            problems.append(f"The alert {alert.name} fired, and nothing explains it.")
        if alert.told is None and not _is_inhibited(alert, night):
            problems.append(f"Nobody was told of the alert {alert.name}.")
        times = (alert.began, alert.ended, alert.told, alert.told_end)
        link = f"[{alert.name}](#{alert.name.lower()})"
        rows.append((link, *(_at(night, each) for each in times), why))
    headings = ("Alert", "fires at", "until", "Slack told at", "end told at", "because")
    subjects = sorted({str(each["Subject"]) for each in night.watch.mail.messages})
    return [
        "### The alerts that fired",
        "",
        "These and no others:" if rows else "None.",
        "",
        *_table(headings, rows),
        f"By email too: {', '.join(subjects) or 'none'}.",
        "",
    ]


def _is_inhibited(alert: FiredAlert, night: Night) -> bool:
    """Say whether another alert that was told may have silenced this one."""
    others = [each for each in night.alerts if each.told is not None and each is not alert]
    return any(each.began <= alert.ended and alert.began <= each.ended for each in others)


def _modes(night: Night, problems: list[str]) -> list[str]:
    rows = [
        (
            _at(night, change.changed_at.timestamp()),
            change.mode,
            f"{_word(is_on=change.was_on)} → {_word(is_on=change.is_on)}",
            change.source,
            change.reason,
        )
        for change in night.changes
    ]
    if night.moments.quiet is None:
        problems.append("An alert or a mode was still on at the end of the wait.")
    headings = ("second", "mode", "change", "by", "reason")
    words = "The load monitor changed no mode." if not rows else "The load monitor's changes:"
    return ["### The modes", "", words, "", *_table(headings, rows)]


def _word(*, is_on: bool) -> str:
    return "on" if is_on else "off"


def _ways(night: Night, lines: list[logs.Line], problems: list[str]) -> list[str]:
    """The way of one request of each level through the logs."""
    sections = ["### One request by its id", ""]
    for level, words in ((1, "Accepted in the rush"), (3, "Accepted while PostgreSQL was away")):
        response = _followed(night, level)
        if response is None:
            problems.append(f"Nobody was accepted at level {level}.")
            continue
        request_id = logs.request_id_of(lines, response.ticket_id)
        way = logs.way_of(lines, request_id)
        reached = {line.process for line in way}
        if not {"web", "emails"} <= reached:
            problems.append(
                f"The logs lead a request of level {level} only through {sorted(reached)}."
            )
        clicked = response.at - response.seconds
        rows = [
            (f"{line.at - clicked:.2f}", line.process, line.event, _fields(line)) for line in way
        ]
        sections += [
            f"{words} at second {clicked - night.moments.began:.1f}. All lines with"
            f" `http.request.id` {request_id or 'unknown'}, seconds after the click:",
            "",
            *_table(("after", "process", "event", "fields"), rows),
        ]
    return sections


def _followed(night: Night, level: int) -> Response | None:
    """Return the first response of a level whose page showed the end and that got a place."""
    found = [each for each in night.accepted if each.level == level and each.ticket_id]
    created = set(
        GuestRequest.objects.filter(
            state="created", ticket_id__in=[each.ticket_id for each in found]
        ).values_list("ticket_id", flat=True)
    )
    for response in found:
        if response.ticket_id in {str(each) for each in created}:
            return response
    return found[0] if found else None


def _fields(line: logs.Line) -> str:
    """Return SNAP's own fields of a line, without ids and what its message says."""
    shown = []
    for name, value in line.fields.items():
        own = name.removeprefix("snap.")
        if own != name and not own.endswith("_id") and own not in SAID_BY_MESSAGE:
            shown.append(f"{own}={value}")
    return " ".join(shown)


def _screens(night: Night, problems: list[str]) -> list[str]:
    sections = ["### What staff saw", ""]
    for path in night.screens.taken:
        _, moment, screen = path.stem.split("-")
        words = f"{CAPTIONS[moment]}, on a {screen}"
        sections += [f"![{words}](screenshots/{path.name})", ""]
    if not night.screens.taken:
        problems.append("There are no screenshots.")
    return sections


def _at(night: Night, moment: float | None) -> str:
    """Return a time as seconds after the first arrival."""
    return "never" if moment is None else f"{moment - night.moments.began:.0f}"


def _table(headings: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> list[str]:
    if not rows:
        return []
    lines = [headings, ("---",) * len(headings), *rows]
    return [*(f"| {' | '.join(line)} |" for line in lines), ""]


def _git(*arguments: str) -> str:
    return subprocess.run(
        ["git", *arguments], cwd=BASE_DIR, stdout=subprocess.PIPE, text=True, check=False
    ).stdout.strip()
