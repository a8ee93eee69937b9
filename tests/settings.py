"""Settings that differ in tests; all others are those of `snap.settings`."""

from tests.helpers import servers

# The servers must run before `snap.settings` is imported.
servers.start()

from snap.observability.tracing import make_importable  # noqa: E402
from snap.settings import *  # noqa: E402, F403

# Its `flush` replaces Django's.
INSTALLED_APPS = [*INSTALLED_APPS, "tests"]  # noqa: F405

PASSWORD_HASHERS = [
    "django.contrib.auth.hashers.MD5PasswordHasher",
    "django.contrib.auth.hashers.PBKDF2PasswordHasher",  # of the real processes
]
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
}

# Links are not cached, so that a test sees its changes at once. Tests of the cache set a time.
LINK_SECONDS = 0.0

# Tests receive the traces that SNAP sends.
make_importable()

# The thread would not see what a test has not committed. Tests call `snapshot.refresh`.
CONTROL_REFRESH_SECONDS = 0.0
