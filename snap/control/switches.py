"""The switches with which staff turn parts of SNAP off and on without a restart.

A switch is a row of django-waffle, which staff change in admin. Code reads it by `is_on`, from the
snapshot of the process: no query, no cache. waffle's own functions read the cache, and raise an
error or query the database when the cache is away.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _
from prometheus_client import Gauge

from snap.control import snapshot
from snap.control.snapshot import current

ASYNC_CREATION = "async_creation"
BATCHING = "batching"
QR_POOL = "qr_pool"
CHALLENGE = "challenge"
ADMISSION_PACING = "admission_pacing"
OPEN_TRACKING = "open_tracking"
CHECK_IN = "check_in"
# Followed by the kind of email: `emails_welcome`. Each kind has a switch.
EMAILS = "emails_"

# Of several processes the value counts that was written last: the others follow within a second.
switch_gauge = Gauge(
    "switch_on",
    "1 while a switch is on, 0 while it is off",
    ["switch"],
    multiprocess_mode="livemostrecent",
)


@dataclass(frozen=True)
class Switch:
    """A switch as staff read it: its name in words, and what happens while it is off."""

    name: str
    label: str | Promise
    meaning: str | Promise


_switches: dict[str, Switch] = {}


def register_switch(name: str, label: str | Promise, meaning: str | Promise) -> None:
    """Register a switch. `meaning` says what happens while it is off."""
    if name in _switches:
        raise ValueError(f"The switch {name!r} is registered twice.")
    _switches[name] = Switch(name, label, meaning)


def known_switches() -> list[Switch]:
    """Return all switches of this release, by name."""
    return [_switches[name] for name in sorted(_switches)]


def find_switch(name: str) -> Switch | None:
    """Return a switch, or None for a name that only another release knows."""
    return _switches.get(name)


def is_on(name: str) -> bool:
    """Return whether a switch is on. A switch without a row is on. Takes under 1 µs."""
    switches: Mapping[str, bool] = current().switches
    return switches.get(name, True)


def switches_off() -> list[Switch]:
    """Return the switches that are off, by name."""
    return [switch for switch in known_switches() if not is_on(switch.name)]


def _export() -> None:
    for switch in known_switches():
        switch_gauge.labels(switch.name).set(is_on(switch.name))


snapshot.on_change.append(_export)

register_switch(
    ASYNC_CREATION,
    _("Guests created by workers"),
    _("Each request creates its guest itself: the response has the QR code, and takes longer."),
)
register_switch(
    BATCHING,
    _("Work in batches"),
    _("Workers end one request, and send one email, at a time. They take several times as long."),
)
register_switch(
    QR_POOL,
    _("QR codes made ahead"),
    _("Each QR code is drawn when a guest gets it. Those made ahead stay for later."),
)
register_switch(
    CHALLENGE,
    _("Challenge after many attempts"),
    _("No challenge is offered: past a limit people wait. Challenges solved before do not count."),
)
register_switch(
    ADMISSION_PACING,
    _("Line past the admission rate"),
    _("Nobody waits in line, however many ask at once. Those in line go on within seconds."),
)
register_switch(
    OPEN_TRACKING,
    _("Reports of opened emails"),
    _("Emails do not report that they are opened, even where the settings allow it."),
)
register_switch(
    CHECK_IN,
    _("Check-in"),
    _("Nobody is checked in, neither at the door nor in admin."),
)
