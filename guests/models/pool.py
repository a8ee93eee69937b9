"""The pool of QR codes that were drawn in advance."""

from django.db import models


class PooledQr(models.Model):
    """A QR token whose image lies in storage already, waiting for a guest."""

    token = models.CharField(max_length=32, primary_key=True)

    def __str__(self) -> str:
        return self.token[:4] + "…"
