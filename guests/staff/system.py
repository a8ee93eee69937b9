"""The state of the system as staff read it: sentences for all, and facts for those who may.

Reading it takes some 15 ms, and seconds while a server is silent. So a thread reads it again every
SECONDS while somebody looks, and boards show the last values.
"""

import logging
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from time import monotonic

from django.conf import settings
from django.db import Error, connection
from django.utils import timezone
from django.utils.formats import date_format, number_format
from django.utils.text import capfirst
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _

from guests.overview.problems import (
    BULK_SECONDS,
    CODE_SECONDS,
    JOURNAL_SECONDS,
    MEGABYTE,
    QUEUE_DEPTH,
    REQUEST_SECONDS,
    problems_of,
)
from guests.overview.queues import BULK, CODES, Queue, Queues
from guests.overview.system import Load, Rows, System, read_system
from notifications.models import Email
from snap.control.modes import is_emergency, is_queueing, slowed
from snap.control.switches import switches_off
from snap.local_cache import on_reset
from snap.models import Mode
from snap.monitor.connections import are_connections_high
from snap.observability.health import DIRECT, EMERGENCY, NORMAL, UNAVAILABLE

log = logging.getLogger(__name__)

SECONDS = 5.0
# Values of the system that are older are shown with their time.
OLD_SECONDS = 20.0
# Seconds that a page waits for values of the system, if nobody has looked for a while.
WAIT_SECONDS = 0.5

# What staff read of a problem, by its heading in the runbook. No figures: a screen reader reads a
# line again each time that it changes.
PROBLEMS = {
    "GuestRequestsDead": _("Requests have failed: their guests have no answer."),
    "GuestRequestsLate": _("A request has waited for more than a minute."),
    "GuestQueueDeep": _("Many requests wait to be taken up."),
    "LoginCodesLate": _("Codes to sign in go out late."),
    "EmailsLate": _("Emails go out late."),
    "MailProviderAway": _("The email service does not respond. Emails wait."),
    "EmailsBounce": _("Many emails come back."),
    "ErrorsHigh": _("Some pages end with an error."),
    "ResponsesSlow": _("Some pages respond slowly."),
    "RedisAway": _("Redis does not respond. SNAP runs without it."),
    "DatabaseConnectionsHigh": _("The database has many connections open."),
    "JournalLate": _("Requests kept in an outage have not been taken up yet."),
    "JournalNotDrained": _("Requests could not be kept in an outage of the database."),
    "SweeperAway": _("The load is not known in full: not every host measures it."),
    "MemoryHigh": _("A process uses a lot of memory."),
}
# The level or the mode has a line of its own.
TOLD_BY_LEVEL_OR_MODE = {
    "NothingAccepted",
    "DatabaseAway",
    "WorkersAway",
    "EmergencyMode",
    "QueueMode",
}


@dataclass(frozen=True)
class Fact:
    """One value of the system. `is_bad`: it needs somebody's attention."""

    label: str
    value: str
    is_bad: bool = False


@dataclass(frozen=True)
class SystemState:
    """The system as it was read last, and whether the database answers now."""

    system: System
    modes: tuple[Mode, ...]
    is_database_available: bool = True

    @property
    def level(self) -> int:
        if not self.is_database_available:
            return max(EMERGENCY, self.system.health.level)
        return self.system.health.level

    def lines(self, *, has_numbers: bool = True) -> list[str]:
        """Return what is unusual, a sentence each, in the current language.

        `has_numbers`: the page shows the numbers of events too.
        """
        lines = []
        if self.level == DIRECT:
            lines.append(gettext("Workers do not take up requests. Guests get their place slower."))
        elif self.level == EMERGENCY:
            lines.append(
                gettext("The database does not answer. Requests are kept, and end when it is back.")
            )
        elif self.level == UNAVAILABLE:
            lines.append(gettext("Nothing can be accepted: guests are asked to try again."))
        if not self.is_database_available and has_numbers:
            lines.append(gettext("The numbers are the last known ones."))
        if is_emergency():
            lines.append(gettext("Emergency mode: emails wait, and newcomers are slowed down."))
        if is_queueing():
            lines.append(gettext("Queue mode: guests wait longer for their place than usual."))
        if self.is_database_available:
            lines.extend(self._problems())
        if off := _switches_off():
            lines.append(gettext("Turned off by staff: %(switches)s.") % {"switches": off})
        return lines

    def _problems(self) -> list[str]:
        """Return a sentence for each other kind of problem, the worst first."""
        headings = [problem.heading for problem in problems_of(self.system)]
        return [str(PROBLEMS[each]) for each in dict.fromkeys(headings) if each in PROBLEMS]

    def facts(self) -> list[Fact]:
        """Return the values in the current language."""
        facts = [self._level(), self._breakers()]
        facts.extend(map(_mode, self.modes))
        off = _switches_off()
        facts.append(Fact(gettext("Turned off"), off or gettext("nothing"), is_bad=bool(off)))
        if self.system.rows is not None:
            facts.extend(_facts_of_rows(self.system.rows))
        age = (datetime.now(UTC) - self.system.read_at).total_seconds()
        if age > slowed(OLD_SECONDS):
            read_at = timezone.localtime(self.system.read_at)
            facts.append(Fact(gettext("These values are of"), f"{read_at:%H:%M:%S}", is_bad=True))
        return facts

    def _level(self) -> Fact:
        words = {
            NORMAL: gettext("1, normal"),
            DIRECT: gettext("2, direct"),
            EMERGENCY: gettext("3, emergency"),
            UNAVAILABLE: gettext("4, nothing left"),
        }
        return Fact(gettext("Level"), words[self.level], is_bad=self.level > NORMAL)

    def _breakers(self) -> Fact:
        unusual = [name for name, state in self.system.breakers.items() if state != "closed"]
        value = ", ".join(sorted(unusual)) or gettext("none")
        return Fact(gettext("Open breakers"), value, is_bad=bool(unusual))


class _Process:
    """What this process has read last."""

    state: SystemState | None = None
    read_at = 0.0
    thread: threading.Thread | None = None


def read_state(*, is_database_available: bool) -> SystemState:
    """Return the state of the system, some seconds old. The first call of a process reads it.

    After a pause in which nobody looked, a call waits for up to WAIT_SECONDS.
    """
    if _Process.state is None:
        _read()
    _read_again_if_old()
    state = _Process.state
    assert state is not None
    return SystemState(state.system, state.modes, is_database_available)


def known_lines() -> list[str]:
    """Return what is known of the system while the database does not answer, a sentence each.

    Takes up to WAIT_SECONDS, and returns nothing if this process has read no state until then.
    """
    _read_again_if_old()
    state = _Process.state
    if state is None:
        return []
    away = SystemState(state.system, state.modes, is_database_available=False)
    return away.lines(has_numbers=False)


def _read_again_if_old() -> None:
    age = monotonic() - _Process.read_at
    if age > slowed(SECONDS):
        thread = _read_in_thread()
        if age > slowed(OLD_SECONDS):
            thread.join(WAIT_SECONDS)


def _read() -> None:
    began = monotonic()
    system = read_system()
    modes: tuple[Mode, ...] = ()
    if system.rows is not None:
        modes = tuple(Mode.objects.with_last_change())
    _Process.state = SystemState(system, modes)
    _Process.read_at = began


def _read_in_thread() -> threading.Thread:
    """Start a thread that reads the state, unless one still does. Return the one that reads."""
    thread = _Process.thread
    if thread is None or not thread.is_alive():
        thread = threading.Thread(target=_read_safely, name="system", daemon=True)
        thread.start()
        _Process.thread = thread
    return thread


def _read_safely() -> None:
    try:
        _read()
    except Error as error:
        log.warning("system_not_read", extra={"error": type(error).__name__})
    finally:
        connection.close()


def _switches_off() -> str:
    return ", ".join(str(switch.label) for switch in switches_off())


def _mode(mode: Mode) -> Fact:
    """Say whether a mode is on, and if it is set by hand, by whom, until when and why."""
    value = gettext("on") if mode.is_active else gettext("off")
    if mode.is_set_by_hand and mode.override_until is not None:
        until = timezone.localtime(mode.override_until)
        by_hand = gettext("%(value)s, set by %(name)s until %(time)s: %(reason)s")
        name = mode.override_by or gettext("a deleted account")
        value = by_hand % {
            "value": value,
            "name": name,
            "time": date_format(until, "j M, H:i"),
            "reason": mode.override_reason,
        }
    elif mode.is_active and mode.why:
        value = f"{value}: {mode.why}"
    return Fact(capfirst(mode.get_name_display()), value, is_bad=mode.is_active)


def _facts_of_rows(rows: Rows) -> Iterator[Fact]:
    yield from _facts_of_queues(rows.queues)
    yield from _facts_of_load(rows.load)
    states = []
    for state, label in Email.State.choices:
        if size := rows.emails.get(state):
            states.append(f"{label} {_number(size)}")
    yield Fact(gettext("Latest emails"), ", ".join(states) or gettext("none"))
    yield Fact(
        gettext("Database connections"),
        f"{rows.connections} / {rows.max_connections}",
        is_bad=are_connections_high(rows.connections, rows.max_connections),
    )
    largest = 0
    sockets = 0
    for host in rows.hosts:
        largest = max([largest, *host.memory.values()])
        sockets += host.sockets
    if rows.hosts:
        yield Fact(gettext("Open pages with a socket"), _number(sockets))
        yield Fact(
            gettext("Largest process"),
            f"{_number(largest // MEGABYTE)} MB",
            is_bad=largest > settings.MEMORY_WARNING_MB * MEGABYTE,
        )


def _facts_of_queues(queues: Queues) -> Iterator[Fact]:
    requests = queues.requests
    is_late = requests.oldest_age > REQUEST_SECONDS or requests.depth > QUEUE_DEPTH
    yield Fact(gettext("Requests in the queue"), _queue(requests), is_bad=is_late)
    if queues.in_line:
        yield Fact(gettext("Requests in line"), _number(queues.in_line))
    if queues.dead_requests:
        yield Fact(gettext("Failed requests"), _number(queues.dead_requests), is_bad=True)
    codes, bulk = queues.emails.get(CODES, Queue()), queues.emails.get(BULK, Queue())
    yield Fact(gettext("Codes to send"), _queue(codes), is_bad=codes.oldest_age > CODE_SECONDS)
    yield Fact(gettext("Emails to send"), _queue(bulk), is_bad=bulk.oldest_age > BULK_SECONDS)
    if queues.dead_emails:
        yield Fact(gettext("Failed emails"), _number(queues.dead_emails), is_bad=True)
    if queues.journal is None:
        yield Fact(gettext("Emergency journal"), gettext("cannot be read"), is_bad=True)
    elif queues.journal.depth:
        is_late = queues.journal.oldest_age > JOURNAL_SECONDS
        yield Fact(gettext("Emergency journal"), _queue(queues.journal), is_bad=is_late)


def _facts_of_load(load: Load | None) -> Iterator[Fact]:
    if load is None:
        yield Fact(gettext("Error rate"), gettext("unknown: no host has reported lately"))
        return
    yield Fact(
        gettext("Error rate, 5 minutes"),
        f"{number_format(load.error_percent, decimal_pos=1)} %",
        is_bad=load.is_failing,
    )
    yield Fact(
        gettext("95 % of responses within"),
        f"{_number(round(load.response_ms))} ms",
        is_bad=load.is_slow,
    )
    yield Fact(gettext("Average response"), f"{_number(round(load.average_ms))} ms")
    yield Fact(gettext("Requests a second"), number_format(load.requests_per_second, decimal_pos=1))


def _queue(queue: Queue) -> str:
    if not queue.depth:
        return "0"
    seconds = round(queue.oldest_age)
    text = ngettext(
        "%(size)s, the oldest for %(seconds)s second",
        "%(size)s, the oldest for %(seconds)s seconds",
        seconds,
    )
    return text % {"size": _number(queue.depth), "seconds": _number(seconds)}


def _number(size: int) -> str:
    return number_format(size, force_grouping=True)


def _forget() -> None:
    _Process.state = None
    _Process.read_at = 0.0


on_reset(_forget)
