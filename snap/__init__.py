import gc

# By itself Python looks for garbage after every 700 new objects: 360 times while a process starts,
# for a tenth of the CPU that takes. A journey's CPU is less by 1 to 4 %, which is within the noise.
gc.set_threshold(10_000)

from snap.celery import app as celery_app  # noqa: E402

__all__ = ["celery_app"]
