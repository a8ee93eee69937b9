"""Checks of folders: the journal, posters and QR codes, static files, metrics."""

import hashlib
import json
import os
import tempfile
from collections.abc import Collection
from pathlib import Path
from typing import Any

import psutil
from django.conf import settings
from django.contrib.staticfiles.utils import matches_patterns
from django.core.checks import CheckMessage, Error, Info, Warning, register
from django.core.files.storage import FileSystemStorage, default_storage

from snap.environment.processes import METRICS_DIR
from snap.metering.files import in_memory
from snap.setup import SETUP
from snap.static import SnapStaticFilesConfig

# File systems that end with the machine or with its container.
FLEETING = ("tmpfs", "ramfs", "overlay", "aufs")
# Bytes that a disk must have free.
LEAST_FREE = 1_000_000_000
ROOT = Path("/")
IGNORED = SnapStaticFilesConfig.ignore_patterns
# References that the storage of static files replaces by hashed names.
REWRITTEN = (b"url(", b"@import", b"sourceMappingURL")


@register(SETUP, deploy=True)
def check_journal(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """Report a journal that cannot be written, or that does not outlive this machine."""
    folder = Path(settings.JOURNAL_PATH).parent
    found = _check_folder("JOURNAL_PATH", folder, "requests while the database is away")
    if _existing(folder).stat().st_dev == ROOT.stat().st_dev:
        found.append(
            Info(
                f"The journal is on the disk of the system ({folder}): logs that fill that disk"
                " leave no room for requests while the database is away.",
                hint="Set JOURNAL_PATH to a file on a disk of its own.",
                id="snap.I144",
            )
        )
    return found


@register(SETUP, deploy=True)
def check_media(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """Report a folder of posters and QR codes that cannot be written or that gets lost."""
    if not isinstance(default_storage, FileSystemStorage):
        return []
    return _check_folder("MEDIA_ROOT", Path(settings.MEDIA_ROOT), "posters and QR codes")


def _check_folder(setting: str, folder: Path, content: str) -> list[CheckMessage]:
    if not _is_writable(folder):
        return [
            Error(
                f"The folder {folder} cannot be written, so it takes no {content}.",
                hint=f"Change the owner of the folder, or set {setting} to another one.",
                id="snap.E141",
            )
        ]
    found: list[CheckMessage] = []
    kind = file_system_of(folder)
    if kind in FLEETING:
        found.append(
            Error(
                f"The folder {folder} is on a {kind}, which ends with this machine or its"
                f" container: so do {content}.",
                hint=f"Set {setting} to a place on a disk or volume that stays.",
                id="snap.E142",
            )
        )
    free = psutil.disk_usage(str(_existing(folder))).free
    if free < LEAST_FREE:
        found.append(
            Warning(
                f"The disk of {folder} has {free // 1_000_000} MB free: {content} need more.",
                hint=f"Free at least {LEAST_FREE // 1_000_000} MB.",
                id="snap.W143",
            )
        )
    return found


def _is_writable(folder: Path) -> bool:
    """Return whether a file can be made there, or the folder itself where it does not exist."""
    place = _existing(folder)
    try:
        with tempfile.TemporaryFile(dir=place) as file:
            file.write(b"SNAP")
            file.flush()
    except OSError:
        return False
    return True


def _existing(folder: Path) -> Path:
    """Return the folder, or the nearest one above it that exists."""
    while not folder.is_dir() and folder != folder.parent:
        folder = folder.parent
    return folder


def file_system_of(folder: Path) -> str:
    """Return the kind of the file system in which a folder is, such as ext4."""
    device = _existing(folder).stat().st_dev
    for partition in psutil.disk_partitions(all=True):
        try:
            if os.stat(partition.mountpoint).st_dev == device:
                return str(partition.fstype)
        except OSError:
            continue  # A mount that this user may not see.
    return ""


@register(SETUP, deploy=True)
def check_static_files(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """Report static files of this release that are not collected: pages would have no style."""
    missing = count_missing_static_files()
    if not missing:
        return []
    return [
        Error(
            f"The folder {settings.STATIC_ROOT} lacks {missing} static file(s) of this release:"
            " pages fail, or have no style.",
            hint="Run `manage.py collectstatic --no-input`.",
            id="snap.E145",
        )
    ]


def count_missing_static_files() -> int:
    """Return how many of the files that pages need are missing, or of another release.

    The storage's manifest names each file with the hash of its content.
    """
    names = _read_manifest(Path(settings.STATIC_ROOT) / "staticfiles.json")
    missing = 0
    for folder in map(Path, settings.STATICFILES_DIRS):
        for path in folder.rglob("*"):
            name = path.relative_to(folder).as_posix()
            is_wanted = path.is_file() and not matches_patterns(name, IGNORED)
            if is_wanted and not _is_collected(path, names.get(name, "")):
                missing += 1
    return missing


def _read_manifest(path: Path) -> dict[str, str]:
    try:
        names: dict[str, str] = json.loads(path.read_text())["paths"]
    except (OSError, ValueError, KeyError):
        return {}
    return names


def _is_collected(path: Path, hashed_name: str) -> bool:
    """Return whether the collected file exists, and has the content of this release.

    Where the storage has rewritten references in it, its hash is of something else.
    """
    if not hashed_name or not (Path(settings.STATIC_ROOT) / hashed_name).exists():
        return False
    content = path.read_bytes()
    if any(word in content for word in REWRITTEN):
        return True
    digest = hashlib.md5(content, usedforsecurity=False).hexdigest()
    return f".{digest[:12]}" in hashed_name


@register(SETUP, deploy=True)
def check_metrics_folder(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """Warn of a folder for metrics in which this process could not reserve its files."""
    return about_metrics(in_memory())


def about_metrics(kept_in_memory: Collection[str]) -> list[CheckMessage]:
    if not kept_in_memory:
        return []
    return [
        Warning(
            f"The folder of {METRICS_DIR} cannot be written, or its disk is full: /metrics shows"
            " one process only, and the load monitor sees none.",
            hint="Give the folder to the user of SNAP's processes, with space, and restart them.",
            id="snap.W117",
        )
    ]
