"""HTTP/1.1 as the fake node speaks it: the bytes of a request as they came, and answers that may be odd, timed or cut."""

import asyncio
import dataclasses
import hashlib
import json

REASONS = {200: "OK", 204: "No Content", 304: "Not Modified", 403: "Forbidden", 404: "Not Found", 503: "Service Unavailable"}


class Gone(Exception):
    """The edge has closed the connection."""


@dataclasses.dataclass
class Request:
    """What arrived, and how much of its body was read."""

    method: str
    target: str
    headers: list
    head: bytes = b""
    node: object = None
    length: int = 0
    digest: object = dataclasses.field(default_factory=hashlib.sha256)
    is_whole: bool = False
    is_gone: bool = False
    sent: int = 0
    refusal: str | None = None

    @classmethod
    def parse(cls, head):
        first, *lines = head.decode("latin1").removesuffix("\r\n\r\n").split("\r\n")
        method, target, _ = first.split(" ")
        pairs = (line.partition(":") for line in lines)
        return cls(method, target, [(name.lower(), value.strip()) for name, _, value in pairs], head)

    def all(self, name):
        return [value for key, value in self.headers if key == name]

    def header(self, name):
        return next(iter(self.all(name)), None)

    @property
    def path(self):
        return self.target.partition("?")[0]

    @property
    def service(self):
        """The service that the path names."""
        words = self.path.split("/")
        return words[3] if words[1:3] == ["api", "service"] and len(words) > 3 else None

    def words(self):
        """What stands behind the name of the service in the path."""
        return self.path.split("/")[4:]


class Exchange:
    """One request on a connection, and the answer to it."""

    def __init__(self, node, request, reader, writer):
        self.node, self.request, self.reader, self.writer = node, request, reader, writer
        self.is_chunked = False
        self.is_closed = False

    async def chunks(self):
        """The body in pieces."""
        request = self.request
        try:
            if (request.header("transfer-encoding") or "").lower() == "chunked":
                while size := int(await self.reader.readuntil(b"\r\n"), 16):
                    yield self.count(await self.reader.readexactly(size))
                    await self.reader.readexactly(2)
                await self.reader.readuntil(b"\r\n")
            else:
                left = int(request.header("content-length") or 0) - request.length
                while left:
                    piece = await self.reader.read(min(left, 1 << 16))
                    if not piece:
                        raise Gone
                    left -= len(piece)
                    yield self.count(piece)
        except (asyncio.IncompleteReadError, ConnectionError) as error:
            raise Gone from error
        request.is_whole = True

    def count(self, piece):
        self.request.length += len(piece)
        self.request.digest.update(piece)
        return piece

    async def read(self):
        """The whole body, and nothing more when it was read already."""
        if self.request.is_whole:
            return b""
        return b"".join([piece async for piece in self.chunks()])

    async def start(self, status, headers=(), length=None):
        """Sends a head; without a length the body is chunked."""
        bodiless = status in (204, 304) or status < 200
        lines = [f"HTTP/1.1 {status} {REASONS.get(status, 'Status')}", f"date: {self.node.http_date()}"]
        lines += [f"{name}: {value}" for name, value in headers]
        if length is not None and not bodiless:
            lines.append(f"content-length: {length}")
        self.is_chunked = length is None and not bodiless and self.request.method != "HEAD"
        if self.is_chunked:
            lines.append("transfer-encoding: chunked")
        await self.raw("\r\n".join([*lines, "", ""]).encode("latin1"))

    async def write(self, data):
        await self.raw(b"%x\r\n%s\r\n" % (len(data), data) if self.is_chunked else data)

    async def end(self):
        if self.is_chunked:
            await self.raw(b"0\r\n\r\n")

    async def raw(self, data):
        await self.node.running.wait()
        if self.writer.is_closing():
            raise Gone
        self.writer.write(data)
        try:
            await self.writer.drain()
        except ConnectionError as error:
            raise Gone from error

    async def send(self, status, headers=(), body=b""):
        """A whole answer."""
        await self.start(status, headers, len(body))
        if body and self.request.method != "HEAD" and status not in (204, 304):
            await self.write(body)

    async def send_json(self, status, value, headers=()):
        await self.send(status, [("content-type", "application/json"), *headers], json.dumps(value).encode())

    async def until_gone(self):
        """Returns when the edge closes its side."""
        while await self.reader.read(1 << 16):
            pass
        self.request.is_gone = True
        self.close()

    def close(self):
        """Breaks the connection."""
        self.is_closed = True
        self.writer.transport.abort()

    def close_softly(self):
        """Ends the connection once all is sent."""
        self.is_closed = True
        self.writer.close()
