"""A client that sends what it is told, byte for byte, on a new connection for each request."""

import dataclasses
import hashlib
import http.client
import itertools
import json
import time


@dataclasses.dataclass
class Answer:
    """What came back, and after how many seconds."""

    status: int
    headers: list
    body: bytes
    seconds: float

    def all(self, name):
        return [value for key, value in self.headers if key == name]

    def header(self, name):
        return next(iter(self.all(name)), None)

    def json(self):
        return json.loads(self.body)

    def seen(self, name):
        """What the echo says that arrived under this header."""
        return [value for key, value in self.json()["headers"] if key == name]

    @property
    def tries(self):
        return int(self.header("x-mesh-tries") or 0)


class Client:
    """Sends requests to one place."""

    def __init__(self, authority):
        self.authority = authority
        host, port = authority.split(":")
        self.host, self.port = host, int(port)

    def open(self, method, target, headers=(), body=None, timeout=30):
        """Sends a request and reads the head of its answer. A body that is not bytes is an iterable, sent in chunks."""
        connection = self.send(method, target, headers, body, timeout)
        return connection, connection.getresponse()

    def send(self, method, target, headers=(), body=None, timeout=30):
        """Sends a request; the answer is for the caller to read."""
        connection = http.client.HTTPConnection(self.host, self.port, timeout=timeout)
        connection.putrequest(method, target, skip_host=True, skip_accept_encoding=True)
        headers = [(name.lower(), value) for name, value in headers]
        names = {name for name, _ in headers}
        if "host" not in names:
            connection.putheader("host", self.authority)
        for name, value in headers:
            connection.putheader(name, value)
        is_whole = isinstance(body, bytes)
        if is_whole:
            connection.putheader("content-length", str(len(body)))
        elif body is not None and "content-length" not in names:
            connection.putheader("transfer-encoding", "chunked")
        connection.endheaders()
        try:
            for piece in self.framed(body, "content-length" in names):
                connection.send(piece)
        except (BrokenPipeError, ConnectionResetError):
            # An answer may come before the body was taken; then that is what counts.
            pass
        return connection

    @staticmethod
    def framed(body, is_of_known_length):
        if body is None or isinstance(body, bytes):
            yield body or b""
        elif is_of_known_length:
            yield from body
        else:
            for piece in body:
                yield b"%x\r\n%s\r\n" % (len(piece), piece)
            yield b"0\r\n\r\n"

    def ask(self, method, target, headers=(), body=None, timeout=30):
        """A whole exchange."""
        began = time.monotonic()
        connection, response = self.open(method, target, headers, body, timeout)
        try:
            content = response.read()
        finally:
            connection.close()
        pairs = [(name.lower(), value) for name, value in response.getheaders()]
        return Answer(response.status, pairs, content, time.monotonic() - began)

    def get(self, target, headers=(), **options):
        return self.ask("GET", target, headers, **options)

    def post(self, target, body=b"one", headers=(), **options):
        return self.ask("POST", target, headers, body, **options)


NUMBERS = itertools.count(1)


def echo(path=""):
    """A target that nobody asked for before."""
    return f"/api/service/echo/{next(NUMBERS)}{path}"


def pieces(total, seed=b"x"):
    """So many bytes that do not repeat soon, and their digest when all were taken."""
    digest = hashlib.sha256()
    block = b"".join(hashlib.sha256(seed + bytes([n])).digest() for n in range(256)) * 32

    def flow():
        left = total
        while left:
            piece = block[: min(left, len(block))]
            digest.update(piece)
            left -= len(piece)
            yield piece

    return flow(), digest
