"""A fake node: what an edge sees of one, with faults at will, and a record of all that arrived."""

import asyncio
import email.utils
import itertools
import json
import socket
import threading
import time

from . import services
from .exchange import Exchange, Gone, Request
from .signature import Verifier

NUMBERS = itertools.count(1)


def loop():
    """The event loop of all fake nodes, in a thread of its own."""
    if not hasattr(loop, "running"):
        loop.running = asyncio.new_event_loop()
        threading.Thread(target=loop.running.run_forever, daemon=True).start()
    return loop.running


def at_port(port):
    """A socket that shares its port with others of this process."""
    bound = socket.socket()
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    bound.bind(("127.0.0.1", port))
    return bound


class Node:
    """A node at a port of its own. It answers as a healthy one until told otherwise."""

    def __init__(self):
        self.id = f"12D3KooWFake{next(NUMBERS):04}"
        self.requests = []
        # What it tells as live summary, and after how many seconds.
        self.summary, self.pause = None, 0
        # By how many seconds its clock is ahead.
        self.skew = 0
        # The status of its /health.
        self.health = 200
        self.verifier = Verifier()
        # Instead of what a node answers: as a gateway does before a node, and as a service does behind it.
        self.gateway = None
        self.service = None
        self.connections, self.server = {}, None
        self.running = asyncio.Event()
        self.running.set()
        # Never listens: while the node is dead, nobody else gets its port.
        self.place = at_port(0)
        self.port = self.place.getsockname()[1]
        self.in_loop(self.listen())

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    @property
    def entry(self):
        """Its line in a summary."""
        return {"id": self.id, "url": self.url, "zone": "eu", "epoch": 1795328000, "version": 17, "unseen_since": None}

    def deliveries(self, target):
        """Requests with this target that arrived here."""
        return [request for request in list(self.requests) if request.target == target]

    def count(self, path):
        """How many requests for this path arrived here."""
        return sum(request.path == path for request in list(self.requests))

    def served(self):
        """How many requests for services arrived here."""
        return sum(request.path.startswith("/api/service/") for request in list(self.requests))

    def refused(self, reason):
        """How many requests it refused for this reason."""
        return sum(request.refusal == reason for request in list(self.requests))

    def kill(self):
        """As a process that ends: connections break, new ones are refused. The port stays its own."""
        self.in_loop(self.end())

    def revive(self):
        self.in_loop(self.listen())

    def freeze(self):
        """As a stopped process: connections are accepted by the kernel, and nothing is answered any more."""
        self.call(self.running.clear)

    def thaw(self):
        self.call(self.running.set)

    def stop(self):
        self.thaw()
        self.in_loop(self.end())
        self.place.close()

    def http_date(self):
        return email.utils.formatdate(self.now(), usegmt=True)

    def now(self):
        return time.time() + self.skew

    @staticmethod
    def call(function):
        """Calls what belongs to the loop."""
        loop().call_soon_threadsafe(function)

    @staticmethod
    def in_loop(work):
        return asyncio.run_coroutine_threadsafe(work, loop()).result(10)

    async def listen(self):
        self.server = await asyncio.start_server(self.serve, sock=at_port(self.port), limit=1 << 17, backlog=1024)

    async def end(self):
        if self.server is not None:
            self.server.close()
            self.server = None
        connections = dict(self.connections)
        for task, writer in connections.items():
            writer.transport.abort()
            task.cancel()
        await asyncio.gather(*connections, return_exceptions=True)

    async def serve(self, reader, writer):
        task = asyncio.current_task()
        self.connections[task] = writer
        try:
            while await self.serve_one(reader, writer):
                pass
        except (Gone, ConnectionError, asyncio.CancelledError):
            pass
        finally:
            del self.connections[task]
            writer.close()

    async def serve_one(self, reader, writer):
        """Answers one request; says whether another may follow."""
        try:
            head = await reader.readuntil(b"\r\n\r\n")
        except asyncio.IncompleteReadError:
            return False
        request = Request.parse(head)
        request.node = self
        self.requests.append(request)
        await self.running.wait()
        exchange = Exchange(self, request, reader, writer)
        try:
            await self.answer(exchange)
            if not exchange.is_closed:
                await exchange.read()
        except (Gone, ConnectionError, asyncio.CancelledError):
            request.is_gone = True
            raise
        return not exchange.is_closed

    async def answer(self, exchange):
        request = exchange.request
        if self.gateway is not None:
            return await self.gateway(exchange)
        if request.path == "/health" and request.header("x-mesh-service") is None:
            return await exchange.send_json(self.health, {"status": self.health})
        if len(request.all("x-mesh-service")) > 1:
            return await mesh_error(exchange, 400, "bad_request")
        refusal = self.verifier.refusal(request, self.now())
        if refusal is not None:
            request.refusal = refusal
            return await mesh_error(exchange, 403, refusal, retry=True)
        if request.path == "/.mesh/summary":
            return await self.send_summary(exchange)
        name = request.header("x-mesh-service") or request.service
        if name is None and request.method == "GET" and request.path in services.RESOURCES:
            return await exchange.send_json(200, services.RESOURCES[request.path], [("etag", '"1"')])
        service = services.BY_NAME.get(name)
        if service is None:
            return await mesh_error(exchange, 404, "not_found")
        return await (self.service or service)(exchange)

    async def send_summary(self, exchange):
        await asyncio.sleep(self.pause)
        raw = self.summary if isinstance(self.summary, bytes) else json.dumps(self.summary).encode()
        await exchange.send(200, [("content-type", "application/json"), ("etag", f'"{hash(raw):x}"')], raw)


async def mesh_error(exchange, status, reason, retry=False):
    """An answer of the mesh itself."""
    headers = [("x-mesh-error", reason)] + [("x-mesh-retry", "1")] * retry
    await exchange.send_json(status, {"error": "said by the fake node", "reason": reason}, headers)
