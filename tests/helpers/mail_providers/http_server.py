"""The HTTP server of a provider: connections, faults, receipts."""

import hashlib
import json
import random
import select
import socket
import threading
import time
from collections import Counter, deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar, Self

from snap.local.embedded import free_port
from tests.helpers.mail_providers.faults import Fault
from tests.helpers.mail_providers.fields import Checks, ReceivedEmail, Refusal

MAX_IN_MEMORY = 2000  # emails that a server keeps whole; it counts all of them


@dataclass(frozen=True)
class Request:
    """One HTTP request. Names of headers are in lower case."""

    path: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def digest(self) -> str:
        return hashlib.sha256(self.body).hexdigest()


@dataclass(frozen=True)
class Reply:
    status: int
    body: bytes
    headers: tuple[tuple[str, str], ...] = (("Content-Type", "application/json"),)


class HTTPProvider:
    """A provider of emails. `wrong` has a sentence for each request that breaks its documentation.

    `next_faults` are played once each and in order; after them `fault` is played always, or one of
    `mix` for the part `share` of the requests.
    """

    name: ClassVar[str]

    def __init__(self, *, seed: int = 16) -> None:
        self.port = free_port()
        self.next_faults: deque[Fault] = deque()
        self.fault: Fault | None = None
        self.mix: Sequence[Fault] = ()
        self.share = 0.0
        # Requests a second, after which there is a 429. 0: no limit.
        self.rate_limit = 0
        self.emails: list[ReceivedEmail] = []
        self.requests: list[Request] = []
        self.wrong: list[str] = []
        self.played: Counter[str] = Counter()
        self.request_count = 0
        # Accepted copies by address and Message-ID.
        self.copies: Counter[tuple[str, str]] = Counter()
        self.accepted_at: dict[tuple[str, str], float] = {}
        self.on_accept: list[Any] = []
        self._random = random.Random(seed)
        self._lock = threading.Lock()
        self._server: _Server | None = None
        self._window = (0, 0)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    # Life ---------------------------------------------------------------------------------------

    def start(self) -> None:
        self._server = _Server(self)
        thread = threading.Thread(
            target=self._server.serve_forever, args=(0.02,), name=f"{self.name} server"
        )
        thread.start()
        self._server.thread = thread

    def stop(self) -> None:
        """Refuse connections, and cut those that are open."""
        server, self._server = self._server, None
        if server is None:
            return
        server.shutdown()
        server.server_close()
        server.cut_all()
        assert server.thread is not None
        server.thread.join()

    @contextmanager
    def away(self) -> Iterator[None]:
        """Refuse connections during a block."""
        self.stop()
        try:
            yield
        finally:
            self.start()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.stop()

    # Requests -----------------------------------------------------------------------------------

    def respond(self, method: str, request: Request) -> tuple[Reply | None, Fault | None]:
        """Handle a request. Return the reply, None for none, and the fault that was played."""
        if method == "GET" and (reply := self.sign_in(request)):
            return reply, None
        if method != "POST":
            self.note(f"{self.name} got a {method} of {request.path}")
            return self.error(405, ""), None
        with self._lock:
            fault = self._choose_fault()
            self.request_count += 1
            if len(self.requests) < MAX_IN_MEMORY:
                self.requests.append(request)
            if fault is not None:
                self.played[fault.name] += 1
            is_over = self._is_over_limit()
        if is_over:
            return self.error(429, "", (("Retry-After", "1"),)), None
        if fault is not None and not fault.accepts:
            return self._bad_reply(fault), fault
        try:
            reply = self.handle(request)
        except Refusal as refusal:
            return self.error(refusal.status, refusal.error), None
        if fault is None:
            return reply, None
        if fault.status:
            return self._bad_reply(fault), fault
        return (None if fault.cuts else reply), fault

    def _bad_reply(self, fault: Fault) -> Reply | None:
        if fault.cuts:
            return None
        if fault.body:
            return Reply(fault.status, fault.body)
        return self.error(fault.status, fault.error, fault.headers)

    def _choose_fault(self) -> Fault | None:
        if self.next_faults:
            return self.next_faults.popleft()
        if self.mix and self._random.random() < self.share:
            return self._random.choice(self.mix)
        return self.fault

    def _is_over_limit(self) -> bool:
        second, count = self._window
        now = int(time.time())
        self._window = (now, count + 1 if second == now else 1)
        return 0 < self.rate_limit < self._window[1]

    def accept(self, email: ReceivedEmail, checks: Checks) -> None:
        """Count an accepted email."""
        checks.email(email)
        email = replace(email, at=time.time())
        key = (email.to, email.message_id)
        with self._lock:
            self.wrong += checks.wrong
            self.copies[key] += 1
            self.accepted_at.setdefault(key, email.at)
            if len(self.emails) < MAX_IN_MEMORY:
                self.emails.append(email)
        for callback in self.on_accept:
            callback(email)

    def refuse(self, checks: Checks, status: int, error: str) -> Refusal:
        """Record what is wrong with a request that the provider refuses, and return the refusal."""
        with self._lock:
            self.wrong += [*checks.wrong, f"{self.name} refuses a request: {status} {error}"]
        return Refusal(status, error)

    def note(self, sentence: str) -> None:
        """Record what is wrong with a request."""
        with self._lock:
            self.wrong.append(sentence)

    def finished(self, request: Request) -> None:
        """Do what follows the end of a request."""

    @property
    def only_email(self) -> ReceivedEmail:
        (email,) = self.emails
        return email

    # What a provider defines --------------------------------------------------------------------

    def sign_in(self, request: Request) -> Reply | None:
        """Return what a key reads of its own rights, None for another request."""
        return None

    def handle(self, request: Request) -> Reply:
        """Accept the email of a request. Raises Refusal."""
        raise NotImplementedError

    def error(self, status: int, error: str, headers: tuple[tuple[str, str], ...] = ()) -> Reply:
        """Return the provider's documented error for a status."""
        raise NotImplementedError

    def settings(self) -> dict[str, str]:
        """Return the environment variables with which SNAP sends to this server."""
        raise NotImplementedError


def json_reply(status: int, body: object, *headers: tuple[str, str]) -> Reply:
    content = (("Content-Type", "application/json; charset=utf-8"), *headers)
    return Reply(status, json.dumps(body).encode(), content)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256
    thread: threading.Thread | None = None

    def __init__(self, provider: HTTPProvider) -> None:
        self.provider = provider
        self._open: set[socket.socket] = set()
        super().__init__(("127.0.0.1", provider.port), _Handler)

    def get_request(self) -> tuple[socket.socket, Any]:
        connection, address = super().get_request()
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._open.add(connection)
        return connection, address

    def close_request(self, request: Any) -> None:
        self._open.discard(request)
        super().close_request(request)

    def cut_all(self) -> None:
        for connection in list(self._open):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: clients that are killed cut their connections."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1
    server: _Server

    def _handle(self) -> None:
        provider = self.server.provider
        length = int(self.headers["Content-Length"] or 0)
        body = self.rfile.read(length)
        if len(body) < length:
            return
        headers = {name.lower(): value for name, value in self.headers.items()}
        request = Request(self.path, headers, body)
        reply, fault = provider.respond(self.command, request)
        if fault is not None and fault.wait and not self._wait(fault.wait):
            reply = None
        provider.finished(request)
        if reply is None:
            self.close_connection = True
            return
        self._write(reply, is_half=fault is not None and fault.half)

    def do_POST(self) -> None:
        self._handle()

    def do_GET(self) -> None:
        self._handle()

    def do_HEAD(self) -> None:
        """Respond to a probe, unless this provider responds to nothing."""
        fault = self.server.provider.fault
        if fault is not None and fault.wait and fault.cuts:
            self._wait(fault.wait)
            self.close_connection = True
            return
        self._write(Reply(404, b""), is_half=False)

    def _wait(self, seconds: float) -> bool:
        """Wait. Return False at once when the client closes the connection."""
        readable, _, _ = select.select([self.connection], [], [], seconds)
        return not readable

    def _write(self, reply: Reply, *, is_half: bool) -> None:
        self.send_response(reply.status)
        for name, value in reply.headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(reply.body)))
        self.end_headers()
        sent = reply.body
        if is_half:
            sent = sent[: len(sent) // 2]
            self.close_connection = True
        with suppress(OSError):
            self.wfile.write(sent)
            self.wfile.flush()

    def log_message(self, format: str, *arguments: object) -> None:
        """Log nothing."""
