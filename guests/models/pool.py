"""The pool of QR codes that are drawn ahead of a rush."""

from django.db import models


class PooledQr(models.Model):
    """A QR token that has an image in storage and no guest yet."""

    token = models.CharField(max_length=32, primary_key=True)

    def __str__(self) -> str:
        return self.token[:4] + "…"
