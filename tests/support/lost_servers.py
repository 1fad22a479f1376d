"""Servers that fail, and a relay that dies when its block ends, on ports of this machine."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import BaseRequestHandler, ThreadingTCPServer
from threading import Thread
from urllib.parse import urlsplit


@contextmanager
def silent(port: int) -> Iterator[None]:
    """Accept connections at a port, and never answer."""
    with socket.create_server(("127.0.0.1", port), backlog=100):
        yield


class Refusal(BaseHTTPRequestHandler):
    """Handler that answers 500 to every request."""

    def do_GET(self) -> None:
        """Answer 500."""
        self.send_error(500)

    do_POST = do_PATCH = do_GET

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (http.server's name)
        """Log nothing."""


@contextmanager
def broken(port: int) -> Iterator[None]:
    """Serve status 500 at a port."""
    with ThreadingHTTPServer(("127.0.0.1", port), Refusal) as server:
        thread = Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield
        server.shutdown()
        thread.join()


class Relay(ThreadingTCPServer):
    """Relay between its clients and the server at an address."""

    allow_reuse_address = True
    daemon_threads = True

    def __init__(self, port: int, address: str) -> None:
        """Listen at a port."""
        super().__init__(("127.0.0.1", port), Relayed)
        whole = urlsplit(address)
        self.behind = (whole.hostname, whole.port)
        self.connected: list[socket.socket] = []

    def cut(self) -> None:
        """Shut down all connections, as when a process dies."""
        for connection in self.connected:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)


class Relayed(BaseRequestHandler):
    """One connection through a relay."""

    server: Relay
    request: socket.socket

    def handle(self) -> None:
        """Pass on the bytes of either side until both have closed."""
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
    """Relay this port to the server at an address until the block ends, which looks as if the server had died."""
    with Relay(port, address) as relay:
        thread = Thread(target=relay.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{port}"
        relay.shutdown()
        thread.join()
        relay.cut()
