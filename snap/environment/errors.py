"""How a process ends that cannot work: with one sentence and status 1."""

import errno
import json
import os
from datetime import UTC, datetime

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
CLOSED = (errno.EACCES, errno.EPERM, errno.EROFS)
OTHER_KIND = (errno.EEXIST, errno.EISDIR, errno.ENOTDIR)


class SettingError(SystemExit):
    """A setting or this machine prevents the start. The text never contains a secret.

    It is a SystemExit: every process that reads the settings prints the sentence and ends with
    status 1, without a traceback.
    """

    def __init__(self, sentence: str) -> None:
        super().__init__(as_line(f"SNAP cannot start: {sentence}"))


def as_line(sentence: str) -> str:
    """Return a sentence as a line of the log: JSON if LOG_FORMAT is `ecs`."""
    if os.environ.get("LOG_FORMAT", "").strip() != "ecs":
        return sentence
    fields = {
        "@timestamp": datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "log.level": "critical",
        "message": sentence,
        "ecs.version": "1.6.0",
        "log": {"logger": "snap.environment"},
        "service": {"name": "snap"},
    }
    return json.dumps(fields, ensure_ascii=False)


def is_about_storage(error: OSError) -> bool:
    """Return whether a disk or the rights on a file are the cause."""
    return error.errno in (*FULL, *CLOSED, *OTHER_KIND) and not isinstance(error, ConnectionError)


def describe_os_error(error: OSError) -> str:
    """Return one sentence that says what to do about an error of a disk or a file."""
    path = error.filename or "this checkout"
    if error.errno in FULL:
        return f"the disk of {path} is full; free some space on it."
    if error.errno in CLOSED:
        reason = (error.strerror or "").lower()
        return (
            f"{path} cannot be written ({reason});"
            " change its owner, or use a checkout that belongs to you."
        )
    return f"{error.strerror}: {path}; rename or remove that path."
