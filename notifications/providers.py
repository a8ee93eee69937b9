"""The mail providers: EMAIL_PROVIDER, and EMAIL_FALLBACK_PROVIDER while the first is unavailable.

Each provider has its own breaker, connections and pace, and its own name on the rows of its emails.
Each process has its own state of them.
"""

import logging
from collections.abc import Callable, Mapping
from contextlib import suppress
from threading import Lock, local
from time import monotonic
from typing import Any

import requests
from anymail.backends.base_requests import AnymailRequestsBackend
from django.conf import settings
from django.core.mail import EmailMessage, get_connection
from django.core.mail.backends.base import BaseEmailBackend
from django.core.mail.backends.smtp import EmailBackend as DjangoSMTP
from django.utils.module_loading import import_string

from notifications.mending import Mending
from notifications.pace import Pace
from notifications.smtp import Connection
from snap.local_cache import on_reset
from snap.resilience.breaker import Breaker
from snap.resilience.http_sessions import limit_responses

log = logging.getLogger(__name__)

PROBE_SECONDS = 2.0
# A kept HTTP connection that was unused for longer is replaced. A server may be closing it.
MAX_IDLE_SECONDS = 20.0

# The name on rows of the fallback if both providers are mail servers.
SMTP_FALLBACK = "smtp_fallback"

# Callbacks that run in the probe's thread when a provider is back.
on_recovery: list[Callable[[], None]] = []


class _Kept(local):
    """The backend of one thread, and what it was made of."""

    backend: BaseEmailBackend | None = None
    origin: object = None
    used_at = 0.0


class Provider:
    """A mail provider as this process sees it."""

    def __init__(self, name: str, *, is_fallback: bool) -> None:
        self.name = name
        self.is_fallback = is_fallback
        # While it is open, no email is handed over and no attempt is used up.
        self.breaker = Breaker(
            f"mail_{name}",
            threshold=settings.BREAKER_THRESHOLD,
            pause=settings.BREAKER_PAUSE,
            probe=self.responds,
        )
        self.breaker.on_recovery = on_recovery
        self.mending = Mending(name)
        self.pace = Pace(lambda: settings.EMAIL_PER_SECOND)
        self._kept = _Kept()

    def __repr__(self) -> str:
        return f"<Provider {self.name}>"

    # Whether it can be used ----------------------------------------------------------------------

    def allows(self) -> bool:
        """Return whether an email may be handed over now. Some calls are trials: use the result."""
        if not self.pace.allows() or self.breaker.state == "open":
            return False
        return self.mending.allows() and self.breaker.allows()

    @property
    def is_working(self) -> bool:
        """Whether an email that is handed over now is no trial."""
        return self.breaker.state == "closed" and not self.mending.is_needed

    def responds(self) -> bool:
        """Return whether the provider responds within PROBE_SECONDS.

        A connection alone says nothing of an API: what accepts it may have nothing behind it.
        """
        backend = self.connect()
        try:
            if isinstance(backend, DjangoSMTP):
                with Connection(backend.host, backend.port, seconds=PROBE_SECONDS) as server:
                    server.noop()
            elif address := getattr(backend, "api_url", ""):
                with requests.Session() as session:
                    limit_responses(session)
                    session.head(address, timeout=PROBE_SECONDS, allow_redirects=False)
        except OSError:
            return False
        return True

    @property
    def has_idempotency_keys(self) -> bool:
        """Whether a second request for an email that was accepted sends no second copy."""
        return bool(getattr(import_string(self._path), "has_idempotency_keys", False))

    # Connections ---------------------------------------------------------------------------------

    def connect(self) -> BaseEmailBackend:
        """Return a backend of this provider. It opens its connection when it is used."""
        return get_connection(self._path, **self._options)

    def send(self, message: EmailMessage) -> None:
        """Hand a message over, on this thread's connection. Raises what the backend raises."""
        backend = self._backend()
        try:
            backend.open()
            backend.send_messages([message])
        except Exception:
            # The connection may be unusable after an error. The next email opens a new one.
            self.close()
            raise
        self._kept.used_at = monotonic()
        if not isinstance(backend, AnymailRequestsBackend):
            # SMTP keeps the connections of all threads itself.
            backend.close()

    def close(self) -> None:
        """Close the connection of this thread."""
        backend, self._kept.backend = self._kept.backend, None
        if backend is not None:
            with suppress(OSError):
                backend.close()

    def _backend(self) -> BaseEmailBackend:
        kept = self._kept
        is_fresh = monotonic() < kept.used_at + MAX_IDLE_SECONDS
        if kept.backend is None or kept.origin != self._origin or not is_fresh:
            self.close()
            kept.backend, kept.origin = self.connect(), self._origin
        return kept.backend

    @property
    def _path(self) -> str:
        path: str = settings.EMAIL_FALLBACK_BACKEND if self.is_fallback else settings.EMAIL_BACKEND
        return path

    @property
    def _options(self) -> Mapping[str, Any]:
        """Return what the fallback's backend does not read from the settings of the first one."""
        if self.is_fallback and self.name in {"smtp", SMTP_FALLBACK}:
            return {
                "host": settings.EMAIL_FALLBACK_HOST,
                "port": settings.EMAIL_FALLBACK_PORT,
                "username": settings.EMAIL_FALLBACK_HOST_USER,
                "password": settings.EMAIL_FALLBACK_HOST_PASSWORD,
                "use_tls": settings.EMAIL_FALLBACK_USE_TLS,
            }
        return {}

    @property
    def _origin(self) -> object:
        """Return the settings of which a backend is made. They change in tests."""
        return (
            self._path,
            *self._options.values(),
            settings.EMAIL_HOST,
            settings.EMAIL_PORT,
            settings.EMAIL_TIMEOUT,
            *settings.ANYMAIL.values(),
        )


def providers() -> list[Provider]:
    """Return the providers in use, the first one first."""
    first = provider_named(settings.EMAIL_PROVIDER)
    if not settings.EMAIL_FALLBACK_PROVIDER:
        return [first]
    return [first, provider_named(fallback_name(), is_fallback=True)]


def fallback_name() -> str:
    """Return the fallback's name on rows."""
    name: str = settings.EMAIL_FALLBACK_PROVIDER
    if name == settings.EMAIL_PROVIDER:
        return SMTP_FALLBACK
    return name


_made: dict[str, Provider] = {}
_making = Lock()


def provider_named(name: str, *, is_fallback: bool = False) -> Provider:
    """Return the only object of a provider in this process."""
    with _making:
        if name not in _made:
            _made[name] = Provider(name, is_fallback=is_fallback)
        made = _made[name]
    made.is_fallback = is_fallback
    return made


def _begin_again() -> None:
    for provider in list(_made.values()):
        provider.breaker.succeeded()
        provider.mending.clear()
        provider.pace.clear()


on_reset(_begin_again)
