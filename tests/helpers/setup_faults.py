"""For each finding of `manage.py check_setup`: what causes it, and with what it is absent.

Servers, disks and rows are real. Only what no test can change is given to a check as a value: the
version of PostgreSQL, a server in another network, the state of the kernel's clock.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.core.checks import CheckMessage
from django.core.files.storage import FileSystemStorage
from django.db import connection
from django.test import override_settings
from django_otp.plugins.otp_totp.models import TOTPDevice
from redis import Redis

from accounts.checks import check_second_factor, check_sms, check_staff
from guests.checks import check_demo
from guests.demo import EVENTS, GUEST_PHONE, STAFF_PHONE
from notifications.checks import check_emails_of_production
from promo.checks import check_privacy
from snap.environment.processes import METRICS_DIR
from snap.local.processes import BASE_DIR
from snap.models import HostReading
from snap.setup import addresses, clock, files, observability, postgresql, redis
from snap.static import StaticStorage
from tests.factories import make_account, make_event, make_staff
from tests.helpers.disks import small_disk
from tests.helpers.own_servers import own_postgresql, own_valkey

Found = list[CheckMessage]
State = AbstractContextManager[Any]
DATABASES = ["default"]
COUNT_SCRAPE = """
import django
django.setup()
from snap.observability.request_metrics import requests_total
requests_total.labels("/metrics", "GET", "200").inc()
"""


@dataclass(frozen=True)
class Case:
    """Returns what a check finds in a state with a fault, and in one without."""

    faulty: Callable[[Path], Found]
    well: Callable[[Path], Found]


def of_states(
    find: Callable[[], Found], faulty: Callable[[Path], State], well: Callable[[Path], State]
) -> Case:
    """Return the case of a check that looks at the state of this machine and its servers."""

    def find_in(state: Callable[[Path], State], folder: Path) -> Found:
        with state(folder):
            return find()

    return Case(lambda folder: find_in(faulty, folder), lambda folder: find_in(well, folder))


def of_values(faulty: Callable[[], Found], well: Callable[[], Found]) -> Case:
    """Return the case of a check of a value that no test can bring about."""
    return Case(lambda _folder: faulty(), lambda _folder: well())


def with_settings(**values: Any) -> Callable[[Path], State]:
    return lambda _folder: override_settings(**values)


def unchanged(_folder: Path) -> State:
    return nullcontext()


def of_settings(check: Callable[..., Found], faulty: dict[str, Any], **well: Any) -> Case:
    """Return the case of a check that looks at settings alone."""
    return of_states(lambda: check(None), with_settings(**(well | faulty)), with_settings(**well))


def of_rows(make: Callable[[], Any], check: Callable[..., Found]) -> Case:
    """Return the case of a check that finds a row."""

    @contextmanager
    def faulty(_folder: Path) -> Iterator[None]:
        make()
        yield

    return of_states(lambda: check(None, databases=DATABASES), faulty, unchanged)


# Environment and files ----------------------------------------------------------------------------


@contextmanager
def metrics_folder(folder: Path) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch, override_settings(METRICS_TOKEN="t" * 30):
        patch.setenv(METRICS_DIR, str(folder))
        yield


@contextmanager
def no_metrics_folder(folder: Path) -> Iterator[None]:
    with metrics_folder(folder), pytest.MonkeyPatch.context() as patch:
        patch.delenv(METRICS_DIR)
        yield


@contextmanager
def scraped_host(folder: Path) -> Iterator[None]:
    """Have a process of this host count one request of Prometheus."""
    with metrics_folder(folder):
        environ = os.environ | {"DJANGO_SETTINGS_MODULE": "snap.settings", "SNAP_PROCESS": "web"}
        subprocess.run([sys.executable, "-c", COUNT_SCRAPE], cwd=BASE_DIR, env=environ, check=True)
        yield


@contextmanager
def journal_in(folder: Path) -> Iterator[None]:
    with override_settings(JOURNAL_PATH=folder / "journal" / "emergency.sqlite3"):
        yield


@contextmanager
def journal_on_a_small_disk(folder: Path) -> Iterator[None]:
    with small_disk(folder / "disk", 400) as disk, journal_in(disk):
        yield


@contextmanager
def media_on_a_small_disk(folder: Path) -> Iterator[None]:
    with small_disk(folder / "disk", 400) as disk, override_settings(MEDIA_ROOT=disk):
        yield


def journal_nowhere(_folder: Path) -> State:
    # Not even root can make files there.
    return override_settings(JOURNAL_PATH=Path("/proc/journal/emergency.sqlite3"))


@contextmanager
def static_files(folder: Path) -> Iterator[Path]:
    """Collect a page's files as this release does."""
    source, root = folder / "source", folder / "root"
    source.mkdir()
    (source / "page.css").write_text("a { color: red }")
    (source / "icon.css").write_text("a { background: url(dot.png) }")
    (source / "dot.png").write_bytes(b"dot")
    (source / "SHA256SUMS").write_text("a name without a suffix")
    (source / "LICENSE.txt").write_text("which the release leaves out")
    shutil.copytree(source, root, ignore=shutil.ignore_patterns("LICENSE*"))
    paths: dict[str, Any] = {
        path.name: (FileSystemStorage(root), path.name) for path in root.iterdir()
    }
    list(StaticStorage(location=root, base_url="/static/").post_process(paths))
    with override_settings(STATICFILES_DIRS=[source], STATIC_ROOT=root):
        yield source


@contextmanager
def changed_static_files(folder: Path) -> Iterator[None]:
    with static_files(folder) as source:
        (source / "page.css").write_text("a { color: blue }")
        yield


# PostgreSQL ---------------------------------------------------------------------------------------


@contextmanager
def stopped_postgresql(_folder: Path) -> Iterator[None]:
    server = own_postgresql()
    server.stop("immediate")
    try:
        yield
    finally:
        server.start()
        connection.close()


def find_in_postgresql() -> Found:
    return postgresql.check_postgresql(None, databases=DATABASES)


@contextmanager
def executed(*statements: str) -> Iterator[None]:
    """Run statements in the transaction of a test, which is rolled back."""
    with connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)
    yield


def unsafe_commits(_folder: Path) -> State:
    return executed("SET synchronous_commit = off")


def find_unsafe_commits() -> Found:
    # The tests' own server runs without fsync, for speed.
    return postgresql.check_durability(postgresql.read_parameters() | {"fsync": "on"})


@contextmanager
def many_hosts(_folder: Path) -> Iterator[None]:
    for number in range(9):
        HostReading.objects.create(host=f"host-{number}")
    yield


def role_of_its_own(_folder: Path) -> State:
    return executed("CREATE ROLE snap_plain", "SET ROLE snap_plain")


def in_parameters(check: Callable[[dict[str, str]], Found]) -> Callable[[], Found]:
    return lambda: check(postgresql.read_parameters())


def missing_migration(_folder: Path) -> State:
    return executed("DELETE FROM django_migrations WHERE app = 'snap'")


# Redis --------------------------------------------------------------------------------------------


def find_in_redis() -> Found:
    return redis.check_redis(None, databases=DATABASES)


@contextmanager
def redis_with(**parameters: str) -> Iterator[None]:
    """Configure the tests' Valkey as in production, but for these parameters."""
    own_valkey()
    usual = {"maxmemory": "200mb", "maxmemory-policy": "noeviction", "appendonly": "yes"}
    with Redis.from_url(settings.BROKER_URL, decode_responses=True) as server:
        before = {name: server.config_get(name)[name] for name in usual}
        for name, value in (usual | parameters).items():
            server.config_set(name, value)
        try:
            yield
        finally:
            for name, value in before.items():
                server.config_set(name, value)


def of_redis(**faulty: str) -> Case:
    named = {name.replace("_", "-"): value for name, value in faulty.items()}
    return of_states(find_in_redis, lambda _: redis_with(**named), lambda _: redis_with())


def redis_elsewhere(_folder: Path) -> State:
    return override_settings(CACHE_URL="redis://127.0.0.1:1/0")


# Rows ---------------------------------------------------------------------------------------------


@contextmanager
def enrolled_staff(_folder: Path) -> Iterator[None]:
    TOTPDevice.objects.create(user=make_staff(), confirmed=True)
    yield


@contextmanager
def staff_without_app(folder: Path) -> Iterator[None]:
    with enrolled_staff(folder):
        TOTPDevice.objects.create(user=make_staff(), confirmed=False)
        yield


def find_staff() -> Found:
    return check_staff(None, databases=DATABASES)


# All of them --------------------------------------------------------------------------------------

HTTPS = {"HTTPS": True, "TRUSTED_PROXIES": 1, "PUBLIC_URL": "https://lista.festas.pt"}
LONG_TOKEN = "k" * 30
SENDERS = {"DEFAULT_FROM_EMAIL": "SNAP <ola@festas.pt>", "EMAIL_SENDERS": {}}
SENT = {**SENDERS, "EMAIL_PROVIDER": "smtp", "HTTPS": False, "EMAIL_FALLBACK_PROVIDER": "smtp"}
PRIVATE = {
    "PRIVACY_URL": "",
    "PRIVACY_CONTACT": "dados@festas.pt",
    "PRIVACY_CONTROLLER": "Festas Lda",
}


def find_journal() -> Found:
    return files.check_journal(None)


def find_static_files() -> Found:
    return files.check_static_files(None)


CASES: dict[str, Case] = {
    "snap.E101": of_settings(addresses.check_https, {"HTTPS": False}, **HTTPS),
    "snap.E102": of_settings(
        addresses.check_public_name, {"PUBLIC_URL": "https://10.1.2.3"}, **HTTPS
    ),
    "snap.E103": of_settings(addresses.check_proxies, {"TRUSTED_PROXIES": 0}, **HTTPS),
    "snap.E104": of_settings(
        addresses.check_websockets, {"WEBSOCKET_PORT": 8001}, **HTTPS, WEBSOCKET_PORT=0
    ),
    "snap.W105": of_settings(addresses.check_origins, {"ALLOWED_HOSTS": ["*"]}),
    "snap.W106": of_settings(
        addresses.check_origins, {"WEBSOCKET_ORIGINS": ["*"]}, WEBSOCKET_ORIGINS=["a.pt"]
    ),
    "snap.E107": of_settings(addresses.check_debug, {"DEBUG": True}, DEBUG=False),
    "snap.W111": of_settings(
        observability.check_metrics, {"METRICS_TOKEN": ""}, METRICS_TOKEN=LONG_TOKEN
    ),
    "snap.W112": of_settings(
        observability.check_metrics, {"METRICS_TOKEN": "short"}, METRICS_TOKEN=LONG_TOKEN
    ),
    "snap.W113": of_states(
        lambda: observability.check_metrics(None), no_metrics_folder, metrics_folder
    ),
    "snap.W117": of_values(lambda: files.about_metrics({"x"}), lambda: files.about_metrics(())),
    "snap.I116": of_states(lambda: observability.check_alerts(None), metrics_folder, scraped_host),
    "snap.I114": of_settings(
        observability.check_logs_and_errors, {"LOG_FORMAT": "plain"}, LOG_FORMAT="ecs"
    ),
    "snap.I115": of_settings(
        observability.check_logs_and_errors, {"SENTRY_DSN": ""}, SENTRY_DSN="http://k@h/1"
    ),
    "snap.W120": of_states(
        in_parameters(postgresql.check_time_limits),
        lambda _folder: executed("SET statement_timeout = 0"),
        unchanged,
    ),
    "snap.E121": of_states(find_in_postgresql, stopped_postgresql, unchanged),
    "snap.E122": of_values(
        lambda: postgresql.check_version({"server_version_num": "130021", "server_version": "13"}),
        lambda: postgresql.check_version(postgresql.read_parameters()),
    ),
    "snap.E123": of_states(find_unsafe_commits, unsafe_commits, unchanged),
    "snap.W124": of_states(in_parameters(postgresql.check_connections), many_hosts, unchanged),
    "snap.I125": of_values(
        lambda: postgresql.check_archive(postgresql.read_parameters()),
        lambda: postgresql.check_archive({"archive_mode": "on"}),
    ),
    "snap.W126": of_states(in_parameters(postgresql.check_role), unchanged, role_of_its_own),
    "snap.E129": of_states(postgresql.check_migrations, missing_migration, unchanged),
    "snap.W127": of_values(
        lambda: postgresql.check_encryption("db.festas.pt", is_encrypted=False),
        lambda: postgresql.check_encryption("db.festas.pt", is_encrypted=True),
    ),
    "snap.W128": of_values(
        lambda: postgresql.check_clock(datetime.now(UTC) - timedelta(seconds=90)),
        lambda: postgresql.check_clock(datetime.now(UTC)),
    ),
    "snap.E131": of_states(find_in_redis, redis_elsewhere, unchanged),
    "snap.W132": of_redis(maxmemory="0"),
    "snap.E133": of_redis(maxmemory_policy="allkeys-lru"),
    "snap.W134": of_redis(appendonly="no"),
    "snap.W135": of_values(
        lambda: redis.check_protection("redis.festas.pt", "redis://redis.festas.pt/0"),
        lambda: redis.check_protection("redis.festas.pt", "redis://:secret@redis.festas.pt/0"),
    ),
    "snap.E141": of_states(find_journal, journal_nowhere, journal_in),
    "snap.E142": of_states(find_journal, journal_on_a_small_disk, journal_in),
    "snap.W143": of_states(lambda: files.check_media(None), media_on_a_small_disk, unchanged),
    "snap.I144": of_states(find_journal, journal_in, journal_on_a_small_disk),
    "snap.E145": of_states(find_static_files, changed_static_files, static_files),
    "snap.W151": of_values(lambda: clock.check_state(5), lambda: clock.check_state(0)),
    "accounts.W101": of_settings(
        check_second_factor, {"STAFF_SECOND_FACTOR": False}, STAFF_SECOND_FACTOR=True
    ),
    "accounts.E102": of_settings(check_sms, {"SMS_BACKEND": "accounts.sms.console"}),
    "accounts.W103": of_states(find_staff, unchanged, enrolled_staff),
    "accounts.W104": of_states(find_staff, staff_without_app, enrolled_staff),
    "guests.E101": of_rows(lambda: make_staff(phone=STAFF_PHONE), check_demo),
    "guests.E102": of_rows(lambda: make_account(phone=GUEST_PHONE), check_demo),
    "guests.E103": of_rows(lambda: make_event(slug=EVENTS[0].slug), check_demo),
    "notifications.E101": of_settings(
        check_emails_of_production, {"DEFAULT_FROM_EMAIL": "SNAP <a@snap.example>"}, **SENT
    ),
    "notifications.W003": of_settings(
        check_emails_of_production, {"EMAIL_PROVIDER": "console"}, **SENT
    ),
    "notifications.I102": of_settings(
        check_emails_of_production, {"EMAIL_FALLBACK_PROVIDER": ""}, **SENT
    ),
    "notifications.I103": of_settings(
        check_emails_of_production,
        {"EMAIL_PROVIDER": "smtp"},
        **{**SENT, "EMAIL_PROVIDER": "console"},
    ),
    "promo.W101": of_settings(check_privacy, {"PRIVACY_CONTACT": ""}, **PRIVATE),
    "promo.W102": of_settings(check_privacy, {"PRIVACY_CONTROLLER": ""}, **PRIVATE),
}
