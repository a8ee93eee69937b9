"""What tests change. Everything else is `snap.settings`, with servers that are real."""

from tests.helpers import servers

# These settings are the first thing of ours that pytest-django loads.
servers.start()

from snap.settings import *  # noqa: E402, F403

# Its `flush` takes Django's place.
INSTALLED_APPS = [*INSTALLED_APPS, "tests"]  # noqa: F405

PASSWORD_HASHERS = [
    "django.contrib.auth.hashers.MD5PasswordHasher",
    "django.contrib.auth.hashers.PBKDF2PasswordHasher",  # what the real processes know
]
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
}

# What a test has changed shows at once; tests of the memory itself give it some time.
LINK_SECONDS = 0.0
