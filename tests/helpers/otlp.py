"""A receiver of OpenTelemetry traces (OTLP over HTTP, in protobuf), and of anything by POST."""

import gzip
import socket
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import brotli
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.trace.v1.trace_pb2 import Span as SpanMessage

DECODERS: dict[str, Callable[[bytes], bytes]] = {
    "": bytes,
    "br": brotli.decompress,
    "gzip": gzip.decompress,
}


@dataclass(frozen=True)
class ReceivedSpan:
    """One span as it arrived. Ids are hexadecimal."""

    name: str
    trace_id: str
    span_id: str
    parent_id: str
    process: str
    attributes: Mapping[str, str | int] = field(default_factory=dict)
    linked_to: tuple[str, ...] = ()
    is_error: bool = False
    seconds: float = 0.0


class OtlpReceiver:
    """Keeps what it receives. `behave` is how it responds, for a receiver that is not well."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        self.headers: list[Mapping[str, str]] = []
        self.paths: list[str] = []
        self.behave: Callable[[BaseHTTPRequestHandler], None] = accept
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                decode = DECODERS[self.headers.get("Content-Encoding", "")]
                body = decode(body)
                receiver.paths.append(self.path)
                receiver.headers.append(dict(self.headers))
                if receiver.behave is accept:
                    receiver.bodies.append(body)
                receiver.behave(self)

            def log_message(self, *arguments: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def spans(self) -> list[ReceivedSpan]:
        """Return all spans that have arrived."""
        found = []
        for body in list(self.bodies):
            for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
                about = _values(resource.resource.attributes)
                for scope in resource.scope_spans:
                    for span in scope.spans:
                        found.append(_received(span, str(about.get("process.executable.name", ""))))
        return found

    def named(self, name: str) -> list[ReceivedSpan]:
        return [span for span in self.spans() if span.name == name]

    def text(self) -> str:
        """Return all bytes that have arrived as a text, to search in it."""
        return b"\n".join(self.bodies).decode(errors="replace")


def _received(span: SpanMessage, process: str) -> ReceivedSpan:
    return ReceivedSpan(
        name=span.name,
        trace_id=span.trace_id.hex(),
        span_id=span.span_id.hex(),
        parent_id=span.parent_span_id.hex(),
        process=process,
        attributes=_values(span.attributes),
        linked_to=tuple(link.span_id.hex() for link in span.links),
        is_error=span.status.code == span.status.STATUS_CODE_ERROR,
        seconds=(span.end_time_unix_nano - span.start_time_unix_nano) / 1e9,
    )


def _values(attributes: object) -> dict[str, str | int]:
    values = {}
    for attribute in attributes:  # type: ignore[attr-defined]
        kind = attribute.value.WhichOneof("value")
        values[attribute.key] = getattr(attribute.value, kind)
    return values


# Ways to respond ----------------------------------------------------------------------------------


def accept(handler: BaseHTTPRequestHandler) -> None:
    content = ExportTraceServiceResponse().SerializeToString()
    handler.send_response(200)
    handler.send_header("Content-Type", "application/x-protobuf")
    handler.send_header("Content-Length", str(len(content)))
    handler.end_headers()
    handler.wfile.write(content)


def refuse(handler: BaseHTTPRequestHandler) -> None:
    handler.send_error(401)


def overloaded(handler: BaseHTTPRequestHandler) -> None:
    handler.send_error(503)


def hang(handler: BaseHTTPRequestHandler) -> None:
    """Wait until the client gives up."""
    handler.connection.recv(1)


def drip(handler: BaseHTTPRequestHandler) -> None:
    """Send a byte now and then, until the client gives up."""
    with suppress(OSError):
        handler.wfile.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
        while True:
            handler.wfile.write(b"x")
            time.sleep(0.05)


def break_off(handler: BaseHTTPRequestHandler) -> None:
    handler.connection.shutdown(socket.SHUT_RDWR)
