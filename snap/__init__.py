import gc

# Python's default is a garbage collection after every 700 new objects: 360 times while a process
# starts, a tenth of the CPU of a start.
gc.set_threshold(10_000)

from snap.celery import app as celery_app  # noqa: E402

__all__ = ["celery_app"]
