"""A name server on loopback, over UDP and TCP, for the zones of a test."""

import contextlib
import socket
import socketserver
import struct
import threading
from collections.abc import Iterator, Mapping
from typing import Any

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import dns.rrset

# Records by name and type: {"snap.example": {"TXT": ['"v=spf1 mx ~all"']}}. Texts are as in zone
# files. In place of the types a name can have one of the failures below.
Zone = Mapping[str, Mapping[str, list[str]] | str]
SERVFAIL, REFUSED, SILENT, GARBAGE = "SERVFAIL", "REFUSED", "SILENT", "GARBAGE"
MAX_UDP = 512
MAX_ALIASES = 5


def text(value: str) -> str:
    """Return a TXT value as in a zone file: strings of 255 characters at most."""
    parts = [value[start : start + 255] for start in range(0, len(value), 255)] or [""]
    return " ".join('"' + part.replace("\\", "\\\\").replace('"', '\\"') + '"' for part in parts)


class NameServer:
    """Answers questions about `zone`, which tests can change, and counts them."""

    def __init__(self, zone: Zone | None = None) -> None:
        self.zone: dict[str, Mapping[str, list[str]] | str] = dict(zone or {})
        self.questions: list[tuple[str, str]] = []
        self.over_tcp = 0

    def respond(self, wire: bytes, *, is_tcp: bool) -> bytes | None:
        """Return the response to a question, None for no response."""
        query = dns.message.from_wire(wire)
        question = query.question[0]
        name, kind = question.name, dns.rdatatype.to_text(question.rdtype)
        self.questions.append((name.to_text(omit_final_dot=True), kind))
        self.over_tcp += is_tcp
        response = dns.message.make_response(query)
        response.flags |= dns.flags.RA
        known = self.zone.get(name.to_text(omit_final_dot=True).lower())
        if isinstance(known, str):
            if known == SILENT:
                return None
            if known == GARBAGE:
                return wire[:2] + b"\xff" * 20
            response.set_rcode(dns.rcode.from_text(known))
            return response.to_wire()
        self._answer(response, name, kind)
        if is_tcp:
            return response.to_wire()
        try:
            return response.to_wire(max_size=MAX_UDP)
        except dns.exception.TooBig:
            cut = dns.message.make_response(query)
            cut.flags |= dns.flags.TC
            return cut.to_wire()

    def _answer(self, response: dns.message.Message, name: dns.name.Name, kind: str) -> None:
        """Add the records, and those that aliases lead to."""
        for _ in range(MAX_ALIASES):
            found = self.zone.get(name.to_text(omit_final_dot=True).lower())
            if found is None or isinstance(found, str):
                if not self._has_names_below(name):
                    response.set_rcode(dns.rcode.NXDOMAIN)
                return
            if "CNAME" not in found:
                if kind in found:
                    response.answer.append(dns.rrset.from_text(name, 60, "IN", kind, *found[kind]))
                return
            response.answer.append(dns.rrset.from_text(name, 60, "IN", "CNAME", found["CNAME"][0]))
            name = dns.name.from_text(found["CNAME"][0])

    def _has_names_below(self, name: dns.name.Name) -> bool:
        ending = f".{name.to_text(omit_final_dot=True).lower()}"
        return any(each.endswith(ending) for each in self.zone)


class _Udp(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        wire, sender = self.request
        if response := self.server.names.respond(wire, is_tcp=False):  # type: ignore[attr-defined]
            sender.sendto(response, self.client_address)


class _Tcp(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        length = struct.unpack("!H", self.request.recv(2))[0]
        wire = self.request.recv(length)
        if response := self.server.names.respond(wire, is_tcp=True):  # type: ignore[attr-defined]
            self.request.sendall(struct.pack("!H", len(response)) + response)


@contextlib.contextmanager
def running(names: NameServer) -> Iterator[int]:
    """Serve the names over UDP and TCP. Yield the port, which is the same for both."""
    tcp = socketserver.ThreadingTCPServer(("127.0.0.1", 0), _Tcp)
    port = tcp.server_address[1]
    udp = socketserver.ThreadingUDPServer(("127.0.0.1", port), _Udp)
    servers: list[Any] = [tcp, udp]
    threads = []
    for server in servers:
        server.daemon_threads = True
        server.names = names
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        threads.append(thread)
    try:
        yield port
    finally:
        for server, thread in zip(servers, threads, strict=True):
            server.shutdown()
            server.server_close()
            thread.join()


def closed_port() -> int:
    """Return a UDP port at which nothing listens."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        port: int = taken.getsockname()[1]
    return port
