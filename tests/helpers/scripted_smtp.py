"""A mail server that plays what a test has written: replies, silences and cut connections."""

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

TEXT = "TEXT"
# What the server does in place of a reply.
CUT = "cut"
SILENCE = "silence"
USUAL = {
    "STARTTLS": "220 go ahead",
    "DATA": "354 go ahead",
    "QUIT": "221 bye",
    TEXT: "250 2.0.0 OK",
}

# Takes a command, or TEXT for the text of a message, and returns a reply; "" stands for the usual.
Script = Callable[[str], str]


class ScriptedServer:
    """Records the `commands` of each connection, and the `texts` of messages without their dots.

    `extensions` are the lines of its reply to EHLO. Several replies are separated by `|`.
    """

    def __init__(self, script: Script, *, extensions: str = "PIPELINING 8BITMIME") -> None:
        self.script = script
        self.extensions = extensions.split()
        self.tls: ssl.SSLContext | None = None
        self.connections: list[list[str]] = []
        self.texts: list[bytes] = []
        self.ended = 0  # connections
        # Bytes of several commands that came at once.
        self.has_pipelined = False
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._open: list[socket.socket] = []
        self._thread = threading.Thread(target=self._accept, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for connection in self._open:
            _cut(connection)
        self._thread.join()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self._open.append(connection)
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        commands: list[str] = []
        self.connections.append(commands)
        with suppress(OSError):
            if self._reply(connection, self.script("CONNECT") or "220 ready"):
                self._talk(connection, commands)
        _cut(connection)
        self.ended += 1

    def _talk(self, connection: socket.socket, commands: list[str]) -> None:
        received = b""
        while True:
            while b"\r\n" not in received:
                more = connection.recv(65536)
                if not more:
                    return
                received += more
            line, _, received = received.partition(b"\r\n")
            self.has_pipelined |= bool(received)
            command = line.decode()
            word = command.partition(" ")[0].upper()
            commands.append(command)
            reply = self.script(command) or USUAL.get(word, "250 OK")
            if word == "EHLO" and reply == "250 OK":
                reply = "|".join(
                    ["250-hello", *(f"250-{each}" for each in self.extensions), "250 OK"]
                )
            if not self._reply(connection, reply) or word == "QUIT":
                return
            if word == "STARTTLS" and self.tls is not None:
                with self.tls.wrap_socket(connection, server_side=True) as encrypted:
                    self._talk(encrypted, commands)
                return
            if word == "DATA" and reply.startswith("354"):
                text, received = self._receive_text(connection, received)
                if text is None:
                    return
                reply = self.script(TEXT) or USUAL[TEXT]
                if reply.startswith("2") or reply in {CUT, SILENCE}:
                    self.texts.append(text)
                if not self._reply(connection, reply):
                    return

    def _receive_text(
        self, connection: socket.socket, received: bytes
    ) -> tuple[bytes | None, bytes]:
        while b"\r\n.\r\n" not in received:
            more = connection.recv(65536)
            if not more:
                return None, b""
            received += more
        text, _, rest = received.partition(b"\r\n.\r\n")
        return (text + b"\r\n").replace(b"\r\n..", b"\r\n."), rest

    def _reply(self, connection: socket.socket, reply: str) -> bool:
        """Reply. Return whether the connection goes on."""
        if reply == SILENCE:
            connection.recv(1)
            return False
        for part in reply.split("|"):
            if part == CUT:
                return False
            connection.sendall(part.encode() + b"\r\n")
        return True


def _cut(connection: socket.socket) -> None:
    with suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
    connection.close()


@contextmanager
def playing(script: Script, **options: str) -> Iterator[ScriptedServer]:
    server = ScriptedServer(script, **options)
    server.start()
    try:
        yield server
    finally:
        server.stop()
