"""Private parts of packages that the code relies on, and a sentence for a part that has changed."""

import importlib
import importlib.metadata
from types import ModuleType

# Private names in the code, by package. tests/snap/test_private_parts.py covers each package.
PRIVATE_NAMES = {
    "psycopg": {"_WaitTimeout"},
    "psycopg-pool": {"_pool"},
    "channels-redis": {
        "_ensure_receiver",
        "_ensure_redis",
        "_get_group_channel_name",
        "_get_layer",
        "_layers",
        "_lock",
        "_pubsub",
        "_shards",
        "_subscribed_to",
    },
    "kombu": {"_do_close_transport", "_transport"},
    "granian": {"_granian"},
    "django": {"_cached_user", "_db", "_reject", "_state"},
    "djangorestframework": {"_request"},
}


# Private parts without an underscore: modules and attributes that no documentation names.
UNDOCUMENTED = {
    "qrcode": "guests/qr",
    "uvicorn": "snap/asgi.py",
    "prometheus-client": "snap/observability/metrics.py",
}


# Names with an underscore that their documentation has.
DOCUMENTED_NAMES = {"_exit", "_meta"}


# Attributes that our code sets on objects of other packages.
OUR_NAMES = {"_checked_account", "_step_phone", "_url"}


def changed(package: str, file: str, reliance: str) -> str:
    version = importlib.metadata.version(package)
    return f"{package} has changed (this is {version}): {file} relies on {reliance}"


def require(owner: object, names: set[str], package: str, file: str) -> None:
    place = owner.__name__ if isinstance(owner, ModuleType) else type(owner).__name__
    for name in sorted(names):
        assert hasattr(owner, name), changed(package, file, f"{place}.{name}")
