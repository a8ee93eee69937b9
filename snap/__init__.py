import gc

# By itself Python looks for garbage after every 700 new objects: 360 times while a process starts,
# for a tenth of the CPU that takes, and in requests for some 6 % of theirs.
gc.set_threshold(10_000)

from .celery import app as celery_app  # noqa: E402

__all__ = ["celery_app"]
