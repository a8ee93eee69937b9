"""Collect static files only when one of them has changed: it takes seconds to compress them."""

import hashlib
import os
from pathlib import Path

from django.conf import settings
from django.contrib.staticfiles.finders import get_finders
from django.core.management import call_command


def collect_static_files() -> None:
    """Collect and compress static files, unless none has changed since the last time."""
    digest_path = Path(settings.STATIC_ROOT) / ".digest"
    digest = static_files_digest()
    if digest_path.exists() and digest_path.read_text() == digest:
        return
    call_command("collectstatic", interactive=False, verbosity=0)
    digest_path.write_text(digest)


def static_files_digest() -> str:
    """Return a digest that changes when a static file is added, changed or removed."""
    digest = hashlib.sha256()
    for finder in get_finders():
        for path, storage in finder.list([]):
            status = os.stat(storage.path(path))
            digest.update(f"{path} {status.st_size} {status.st_mtime_ns}\n".encode())
    return digest.hexdigest()
