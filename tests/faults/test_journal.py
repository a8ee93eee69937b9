"""The emergency journal: its disk is full, and its drainer is killed at each step."""

import os
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest
from django.db import connection
from pytest_django import Settings

from guests.emergency.journal import get_journal
from snap.local.embedded import PostgreSQL
from snap.local.processes import BASE_DIR
from tests.faults.breaking import changed, commits_held, pause, waiting_commits
from tests.faults.scenario import Conclude, Form, MakeStorm, loud_skip
from tests.faults.storm import Storm
from tests.helpers.stack import Stack, wait_for

pytestmark = pytest.mark.processes

ENTRIES = 12


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 1.4 MB: some hundred kilobytes more than journal and mirror need."""
    place = tmp_path / "small"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1400k", "tmpfs", str(place)]
    if os.geteuid() or subprocess.run(mount, capture_output=True).returncode:
        loud_skip("A SMALL DISK CAN ONLY BE MOUNTED BY ROOT")
    yield place
    subprocess.run(["umount", "--lazy", str(place)], check=True)


@pytest.mark.slow
def test_disk_full_for_the_journal(
    faulty: Stack,
    postgresql: PostgreSQL,
    small_disk: Path,
    make_storm: MakeStorm,
    conclude: Conclude,
    form: Form,
    settings: Settings,
) -> None:
    """Every request with a 202 is in the journal. When the disk is full people get a 503 (level 4).

    The protections are that a failed write is no 202, and that the journal leaves some room on the
    disk. Without `_has_room` the disk is so full that no entry can be removed either.
    """
    settings.JOURNAL_PATH = small_disk / "journal.sqlite3"
    with changed(faulty, "web", "sweeper", JOURNAL_PATH=str(settings.JOURNAL_PATH)):
        storm = make_storm(int(form(200, 2000)), rate=form(30, 12), at_once=2000, patience=90)
        with storm:
            # Web has seen the event by then, so it can accept requests without PostgreSQL.
            wait_for(lambda: storm.responses_with("accepted", "ended"), 20)
            postgresql.stop("immediate")
            wait_for(lambda: storm.responses_with("unavailable"), 40)
            pause(form(1, 30))
            postgresql.start()
            healed_at = time.time()
        journalled = [
            response for response in storm.responses_with("accepted") if response.level == 3
        ]
        assert journalled
        conclude(
            storm,
            broken="PostgreSQL was away until the journal had filled its disk (a tmpfs of 1.4 MB):"
            f" {len(journalled)} requests were accepted, then all got a 503 and were sent again.",
            healed_at=healed_at,
        )


@pytest.fixture
def journalled(faulty: Stack, postgresql: PostgreSQL, make_storm: MakeStorm) -> Iterator[Storm]:
    """A storm whose last people are in the journal. PostgreSQL is back, and no process drains."""
    faulty.kill("sweeper")
    storm = make_storm(200, rate=20, patience=60)
    with storm:
        pause(0.5)
        postgresql.stop("immediate")
        wait_for(lambda: get_journal().count()["waiting"] >= ENTRIES, 30)
        storm.stop_arrivals()
        postgresql.start()
        connection.close()
        yield storm


def waiting() -> int:
    return get_journal().count()["waiting"]


@pytest.mark.slow
def test_drainer_killed_at_each_step(
    faulty: Stack, postgresql: PostgreSQL, journalled: Storm, conclude: Conclude
) -> None:
    """A drainer is killed before its commit, in it, and before the commit of the journal.

    The protections are that the entry is removed last, and that importing it again finds the
    ticket. An entry that is removed first would be lost in the third step.
    """
    before = waiting()
    # In the transaction: the drainer waits for a lock of another transaction.
    with psycopg.connect(postgres_url(postgresql)) as other:
        other.execute("LOCK TABLE guests_guestrequest IN ACCESS EXCLUSIVE MODE")
        faulty.start("sweeper")
        wait_for(lambda: waits_for_lock(other), 30)
        faulty.kill("sweeper")
    assert waiting() >= before
    # In the commit: it is durable, and the drainer gets no response.
    with commits_held(postgresql):
        faulty.start("sweeper")
        wait_for(lambda: waiting_commits(postgresql, "manage"), 30)
        faulty.kill("sweeper")
    assert waiting() >= before
    # After the commit: the journal is locked, so the entry cannot be removed.
    with closing(sqlite3.connect(get_journal().path, isolation_level=None)) as journal:
        with commits_held(postgresql):
            faulty.start("sweeper")
            wait_for(lambda: waiting_commits(postgresql, "manage"), 30)
            journal.execute("BEGIN IMMEDIATE")
        wait_for(lambda: not waiting_commits(postgresql), 10)
        pause(0.3)
        faulty.kill("sweeper")
        journal.execute("ROLLBACK")
    assert waiting() >= before - 1
    faulty.start("sweeper")
    healed_at = time.time()
    journalled.wait()
    conclude(
        journalled,
        healed_at=healed_at,
        broken="The sweeper was killed while it drained the journal: in its transaction (a lock was"
        " held), in its commit (which waited for a standby that does not exist), and after the"
        " commit, before it removed the entry (the journal was locked).",
    )


@pytest.mark.slow
def test_two_drainers(faulty: Stack, journalled: Storm, conclude: Conclude) -> None:
    """Drainers import the same entries at the same time, and each entry is in the database once.

    The protection is the unique ticket id. Without it the second drainer would make another
    request, and without the constraint on (event, account) as well, another guest.
    """
    healed_at = time.time()
    command = ["python", "manage.py", "sweeper", "--once"]
    drainers = [
        subprocess.Popen(command, cwd=BASE_DIR, env=faulty.env, stderr=subprocess.DEVNULL)
        for _ in range(2)
    ]
    faulty.start("sweeper")
    for drainer in drainers:
        drainer.wait(60)
    journalled.wait()
    broken = "Three processes drained the journal at the same time."
    conclude(journalled, broken=broken, healed_at=healed_at)


def waits_for_lock(other: "psycopg.Connection[tuple[object, ...]]") -> bool:
    row = other.execute(
        "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
        " AND application_name LIKE '%manage%'"
    ).fetchone()
    # A transaction sees the same snapshot of this view until the snapshot is cleared.
    other.execute("SELECT pg_stat_clear_snapshot()")
    return bool(row and row[0])


def postgres_url(postgresql: PostgreSQL) -> str:
    name = connection.settings_dict["NAME"]
    return urlsplit(postgresql.url)._replace(path=f"/{name}").geturl()
