"""The records of the emergency journal: requests, and sessions that have signed out."""

import json
from dataclasses import asdict, dataclass, field, fields
from datetime import UTC, datetime
from typing import Self
from uuid import uuid4

from django.contrib.auth import HASH_SESSION_KEY, SESSION_KEY

from accounts.sessions import SESSION_ID_KEY


@dataclass(frozen=True)
class Entry:
    """An accepted request, with the registration that it may need.

    `phone` is E.164. `account_id`, `session_hash` and `session_id` are those of the session, if the
    browser was signed in. `browser` is the browser's own random id, which identifies the browser
    that registered an account. `name` and `idempotency_key` come from the API. `accepted_at` is
    ISO 8601.
    """

    event_id: int
    event_slug: str
    phone: str
    promoter_id: int | None = None
    team_id: int | None = None
    account_id: int | None = None
    session_hash: str = ""
    session_id: str = ""
    first_name: str = ""
    last_name: str = ""
    email: str = ""
    language: str = ""
    browser: str = ""
    name: str = ""
    idempotency_key: str = ""
    ticket_id: str = field(default_factory=lambda: str(uuid4()))
    # The HTTP request and the trace of the visitor, for log lines.
    request_id: str = ""
    traceparent: str = ""
    accepted_at: str = field(default_factory=lambda: datetime.now(UTC).isoformat())

    @property
    def session(self) -> dict[str, object]:
        """The session in the form that `is_session_of` takes."""
        return _session(self.account_id, self.session_hash, self.session_id)

    @property
    def registration(self) -> dict[str, str]:
        """The personal details of the registration, empty when there is none."""
        if not self.email:
            return {}
        return {
            "first_name": self.first_name,
            "last_name": self.last_name,
            "email": self.email,
            "language": self.language,
        }

    def to_json(self) -> str:
        """Return the entry as JSON. Empty fields are left out: the previous release lacks some."""
        filled = {name: value for name, value in asdict(self).items() if value not in {"", None}}
        return json.dumps(filled)

    @classmethod
    def from_json(cls, body: str) -> Self:
        """Return the entry of a JSON text. Fields of a later release are left out.

        Raises ValueError, TypeError or AttributeError for a text that is not an entry.
        """
        known = {each.name for each in fields(cls)}
        return cls(**{name: value for name, value in json.loads(body).items() if name in known})


@dataclass(frozen=True)
class StoredEntry:
    """An entry with the state of its import into the database.

    `state` is `waiting` or `dead`. `waits` counts how often the entry was postponed since the last
    attempt. Of an unreadable entry only the ticket id, event and phone are known.
    """

    entry: Entry
    attempts: int
    waits: int
    state: str
    error: str
    is_readable: bool = True


@dataclass(frozen=True)
class EndedSession:
    """A session that signed out while the database was unavailable, and its browser's id."""

    account_id: int
    session_hash: str
    session_id: str
    browser: str

    @property
    def session(self) -> dict[str, object]:
        """The session in the form that `is_session_of` takes."""
        return _session(self.account_id, self.session_hash, self.session_id)


def _session(account_id: int | None, session_hash: str, session_id: str) -> dict[str, object]:
    return {
        SESSION_KEY: account_id,
        HASH_SESSION_KEY: session_hash,
        SESSION_ID_KEY: session_id,
    }
