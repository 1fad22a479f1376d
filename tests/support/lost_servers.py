"""Servers that are of no use, and one that is there only for a while, on ports of this machine."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import BaseRequestHandler, ThreadingTCPServer
from threading import Thread
from urllib.parse import urlsplit


@contextmanager
def silent(port: int) -> Iterator[None]:
    """Takes connections and never answers."""
    with socket.create_server(("127.0.0.1", port), backlog=100):
        yield


class Refusal(BaseHTTPRequestHandler):
    """Answers 500 to everything."""

    def do_GET(self) -> None:
        """Answer 500."""
        self.send_error(500)

    do_POST = do_PATCH = do_GET

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (http.server's name)
        """Say nothing."""


@contextmanager
def broken(port: int) -> Iterator[None]:
    """Answers 500."""
    with ThreadingHTTPServer(("127.0.0.1", port), Refusal) as server:
        thread = Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield
        server.shutdown()
        thread.join()


class Relay(ThreadingTCPServer):
    """Passes on what it gets to the server at an address, and that one's answers."""

    allow_reuse_address = True
    daemon_threads = True

    def __init__(self, port: int, address: str) -> None:
        """Listen at a port."""
        super().__init__(("127.0.0.1", port), Relayed)
        whole = urlsplit(address)
        self.behind = (whole.hostname, whole.port)
        self.connected: list[socket.socket] = []

    def cut(self) -> None:
        """Break all connections off, as they are when a process dies."""
        for connection in self.connected:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)


class Relayed(BaseRequestHandler):
    """One connection through a relay."""

    server: Relay
    request: socket.socket

    def handle(self) -> None:
        """Pass on what comes from either side, until both have said all."""
        with socket.create_connection(self.server.behind) as behind:
            self.server.connected += [self.request, behind]
            back = Thread(target=_pass_on, args=(behind, self.request), daemon=True)
            back.start()
            _pass_on(self.request, behind)
            back.join()


def _pass_on(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):
        while said := source.recv(65536):
            sink.sendall(said)
        sink.shutdown(socket.SHUT_WR)


@contextmanager
def passing(port: int, address: str) -> Iterator[str]:
    """The server at an address listens at this port too, until the block ends: then that one is as if it had died."""
    with Relay(port, address) as relay:
        thread = Thread(target=relay.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{port}"
        relay.shutdown()
        thread.join()
        relay.cut()
