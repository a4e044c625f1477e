"""What the services behind a fake node do, and what stands in for them in a fault."""

import asyncio
import gzip
import json
import time

from websockets.frames import Opcode
from websockets.server import ServerProtocol

LISTED = {"services": [{"name": "echo", "healthy": 1, "total": 1, "versions": {}}]}
RESOURCES = {"/api/services": LISTED, "/api/admin/workers": [{"worker_id": "12D3KooWFake"}], "/api/admin/services": {"echo": {}}}
PACKED = gzip.compress(b"packed by the service " * 100, mtime=0)


def marks(exchange):
    """What a node adds to the answer of a service."""
    return [("x-mesh-worker", exchange.node.id), ("x-mesh-attempts", "1")]


async def echo(exchange):
    """Says what arrived."""
    await exchange.read()
    request = exchange.request
    seen = {
        "node": exchange.node.id,
        "method": request.method,
        "target": request.target,
        "headers": request.headers,
        "length": request.length,
        "sha256": request.digest.hexdigest(),
    }
    await exchange.send_json(200, seen, marks(exchange))


async def status(exchange):
    """Answers with the status in the path, and the headers in the query."""
    await exchange.read()
    number = int(exchange.request.words()[0])
    await exchange.send(number, [*marks(exchange), ("x-own", "kept"), ("content-type", "text/plain")], b"said by the service")


async def slow(exchange):
    """Answers after so many seconds."""
    await asyncio.sleep(float(exchange.request.words()[0]))
    await echo(exchange)


async def events(exchange):
    """So many events, each after so many milliseconds; each says when it was sent."""
    count, pause = (int(word) for word in exchange.request.words()[:2])
    await exchange.start(200, [*marks(exchange), ("content-type", "text/event-stream"), ("cache-control", "no-store")])
    for number in range(count):
        await asyncio.sleep(pause / 1000)
        await exchange.write(f"id: {number}\ndata: {time.monotonic()}\n\n".encode())
    await exchange.end()


async def download(exchange):
    """So many bytes; counted as they are taken."""
    left = int(exchange.request.words()[0])
    await exchange.start(200, [*marks(exchange), ("content-type", "application/octet-stream")], left)
    while left:
        piece = bytes(min(left, 1 << 16))
        await exchange.write(piece)
        left -= len(piece)
        exchange.request.sent += len(piece)


async def stalled(exchange):
    """Reads some of the body, and then nothing until it is told to."""
    exchange.request.go = asyncio.Event()
    async for _ in exchange.chunks():
        if exchange.request.length > 1 << 20:
            await exchange.request.go.wait()
    await echo(exchange)


async def packed(exchange):
    """A body that is compressed already."""
    await exchange.send(200, [*marks(exchange), ("content-encoding", "gzip"), ("content-type", "text/plain")], PACKED)


async def moved(exchange):
    """A redirect, and cookies."""
    headers = [("location", "http://elsewhere.invalid/x?y#z"), ("set-cookie", "a=1; Path=/"), ("set-cookie", "b=2, c; HttpOnly")]
    await exchange.send(302, [*marks(exchange), *headers], b"")


async def hops(exchange):
    """An answer with headers that concern one connection only."""
    headers = [("connection", "x-of-this-hop"), ("x-of-this-hop", "1"), ("keep-alive", "timeout=5"), ("proxy-authenticate", "Basic")]
    await exchange.send(200, [*marks(exchange), *headers, ("x-own", "kept")], b"hops")


async def preflight(exchange):
    """CORS is the affair of the services."""
    headers = [("access-control-allow-origin", "https://app.example"), ("access-control-allow-methods", "PUT"), ("vary", "origin")]
    await exchange.send(204, [*marks(exchange), *headers])


async def socket(exchange):
    """A WebSocket that echoes; `close CODE REASON` closes, and `headers` tells what came with the handshake."""
    protocol = ServerProtocol()
    protocol.receive_data(exchange.request.head)
    [handshake] = protocol.events_received()
    offered = [word.strip() for word in (exchange.request.header("sec-websocket-protocol") or "").split(",")]
    response = protocol.accept(handshake)
    if "chat" in offered:
        response.headers["Sec-WebSocket-Protocol"] = "chat"
    for name, value in marks(exchange):
        response.headers[name] = value
    protocol.send_response(response)
    while True:
        for data in protocol.data_to_send():
            if data:
                await exchange.raw(data)
        if protocol.close_expected():
            break
        data = await exchange.reader.read(1 << 16)
        if not data:
            protocol.receive_eof()
            break
        protocol.receive_data(data)
        for frame in protocol.events_received():
            hear(protocol, frame, exchange)
    exchange.request.close_code = protocol.close_rcvd and protocol.close_rcvd.code
    exchange.close_softly()


def hear(protocol, frame, exchange):
    if frame.opcode is Opcode.TEXT:
        words = bytes(frame.data).decode().split(" ", 2)
        if words[0] == "close":
            protocol.send_close(int(words[1]), words[2])
        elif words[0] == "headers":
            protocol.send_text(json.dumps(exchange.request.headers).encode())
        else:
            protocol.send_text(frame.data)
    elif frame.opcode is Opcode.BINARY:
        protocol.send_binary(frame.data)


BY_NAME = {
    name: value
    for name, value in globals().items()
    if name in ("echo", "status", "slow", "events", "download", "stalled", "packed", "moved", "hops", "preflight", "socket")
}


def answering(number, headers=(), body=b"made up by a gateway"):
    """Something that answers every request so."""

    async def answer(exchange):
        await exchange.read()
        await exchange.send(number, headers, body)

    return answer


def endless(number):
    """An answer whose body does not end."""

    async def answer(exchange):
        await exchange.read()
        await exchange.start(number)
        await exchange.write(b"and so on")
        await exchange.until_gone()

    return answer


def unstarted(number=503, reason="saturated"):
    """A node's word that the request was not started."""
    return answering(number, [("x-mesh-error", reason), ("x-mesh-retry", "1"), ("retry-after", "1")], b"not started")


async def lost(exchange):
    """The whole request is taken, then the connection breaks."""
    await exchange.read()
    exchange.close()


async def lost_at_once(exchange):
    """The connection breaks after the head of the request."""
    exchange.close()


async def hasty(exchange):
    """Served, and then the connection ends without a word."""
    await echo(exchange)
    exchange.close_softly()


async def cut(exchange):
    """The answer breaks off."""
    await exchange.read()
    await exchange.start(200, marks(exchange), 1000)
    await exchange.write(b"the beginning")
    exchange.close_softly()


async def never(exchange):
    """No answer, though the node lives."""
    await exchange.read()
    await exchange.until_gone()


def then_frozen(seconds):
    """The node stops so long after the request came."""

    async def answer(exchange):
        await asyncio.sleep(seconds)
        exchange.node.running.clear()
        await exchange.until_gone()

    return answer


def first(fault, then=echo):
    """The first request gets the fault, wherever it arrives; later ones are served."""
    arrived = []

    async def answer(exchange):
        arrived.append(exchange)
        await (fault if len(arrived) == 1 else then)(exchange)

    return answer
