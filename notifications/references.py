"""References: how a report of a mail provider names the row of an email.

A provider returns its own id with its response. When that response is lost, or when the report is
faster than the row, only the reference leads to the row. It travels with the message as metadata,
and comes back in each report.
"""

import re
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Self
from urllib.parse import urlsplit
from zlib import crc32

from django.conf import settings

# The name of the metadata. SendGrid adds it to the fields of a report, which has an `email`.
REFERENCE_KEY = "snap_email"
# Letters, digits and hyphens only: Resend allows no others in a tag.
_FORMAT = re.compile(r"([0-9]{1,18})-([0-9]{1,12})-([0-9a-f]{8})")


@dataclass(frozen=True)
class Reference:
    """One sending of an email. An email that is sent again has another time of queueing.

    `installation` tells SNAP's installations apart: several may use one account of a provider.
    """

    email_id: int
    queued_second: int
    installation: str

    def __str__(self) -> str:
        return f"{self.email_id}-{self.queued_second}-{self.installation}"

    @classmethod
    def of(cls, email_id: int, queued_at: datetime) -> Self:
        return cls(email_id, round(queued_at.timestamp()), _installation())

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """Return the reference in a report. None for another text, or of another installation."""
        match = _FORMAT.fullmatch(text)
        if match is None or match[3] != _installation():
            return None
        return cls(int(match[1]), int(match[2]), match[3])


def _installation() -> str:
    return _digest_of_host(settings.PUBLIC_URL)


@lru_cache(maxsize=4)
def _digest_of_host(public_url: str) -> str:
    host = urlsplit(public_url).hostname or ""
    return f"{crc32(host.encode()):08x}"
