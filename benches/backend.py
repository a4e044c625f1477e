#!/usr/bin/env python3
"""The backend for what nginx cannot answer: streams of events, WebSockets, and bodies that are long, or read slowly.

`/events?rate=50&count=500` is a stream of server-sent events, each the time at which it was written. `/echo` is a
WebSocket that sends back what it gets. `/take` reads a body and says how long it was, `/take?rate=1000000` at that many
bytes a second. `/give?bytes=N` answers N bytes. Anything else is 1 KiB.
"""

import argparse
import asyncio
import base64
import hashlib
import heapq
import itertools
import resource
import time
import urllib.parse

WEBSOCKET_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
CHUNK = bytes(1 << 20)
OK = b"HTTP/1.1 200 OK\r\n"
# Streams do not all write at the same moment.
PHASES = itertools.count()
# The streams of events, by when the next event of each is due.
STREAMS = []


def accept_key(key):
    """Sec-WebSocket-Accept of RFC 6455."""
    return base64.b64encode(hashlib.sha1(key + WEBSOCKET_GUID).digest())


async def serve(reader, writer):
    """One connection, one request after another."""
    try:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            line, _, rest = head.partition(b"\r\n")
            fields = (field.partition(b":") for field in rest.split(b"\r\n") if field)
            headers = {name.strip().lower(): value.strip() for name, _, value in fields}
            url = urllib.parse.urlsplit(line.split()[1].decode())
            query = {key: int(value) for key, value in urllib.parse.parse_qsl(url.query)}
            if not await answer(url.path, query, headers, reader, writer):
                return
    except (asyncio.IncompleteReadError, ConnectionError, asyncio.LimitOverrunError):
        pass
    finally:
        writer.close()


async def answer(path, query, headers, reader, writer):
    """Whether another request may follow."""
    if path == "/events":
        await events(writer, **query)
        return False
    if path == "/echo":
        await echo(reader, writer, headers)
        return False
    if path == "/take":
        taken = b"%d" % await take(reader, headers, **query)
        writer.write(OK + b"content-length: %d\r\n\r\n" % len(taken) + taken)
    elif path == "/give":
        await give(writer, **query)
    else:
        writer.write(OK + b"content-length: 1024\r\n\r\n" + CHUNK[:1024])
    await writer.drain()
    return True


async def events(writer, rate, count):
    """One event in a chunk, in a write, every 1/rate seconds."""
    writer.write(OK + b"content-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n")
    loop = asyncio.get_running_loop()
    due, ended = loop.time() + 0.5 + next(PHASES) % 200 / 200 / rate, loop.create_future()
    heapq.heappush(STREAMS, (due, next(PHASES), 1 / rate, count, writer, ended))
    if len(STREAMS) == 1:
        loop.call_at(due, write_events)
    await ended
    writer.write(b"0\r\n\r\n")
    await writer.drain()


def write_events():
    """Writes what is due of all streams; a task each would leave no time for the rest."""
    loop = asyncio.get_running_loop()
    while STREAMS and STREAMS[0][0] <= loop.time():
        due, number, period, left, writer, ended = heapq.heappop(STREAMS)
        event = b"data: %d\n\n" % time.monotonic_ns()
        writer.write(b"%x\r\n%b\r\n" % (len(event), event))
        if left > 1:
            heapq.heappush(STREAMS, (due + period, number, period, left - 1, writer, ended))
        else:
            ended.set_result(None)
    if STREAMS:
        loop.call_at(STREAMS[0][0], write_events)


async def echo(reader, writer, headers):
    """Frames of up to 125 bytes."""
    writer.write(b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n")
    writer.write(b"sec-websocket-accept: " + accept_key(headers[b"sec-websocket-key"]) + b"\r\n\r\n")
    while True:
        first, length = await reader.readexactly(2)
        mask = await reader.readexactly(4)
        masked = await reader.readexactly(length & 0x7F)
        data = bytes(byte ^ mask[at % 4] for at, byte in enumerate(masked))
        writer.write(bytes((first, len(data))) + data)
        if first & 0x0F == 8:
            return


async def take(reader, headers, rate=None):
    """Reads a body of a given length, or one in chunks."""
    started, taken = time.monotonic(), 0
    async for size in pieces(reader, headers):
        while size:
            data = await reader.read(min(size, 1 << 20 if rate is None else 16384))
            if not data:
                raise ConnectionError
            size -= len(data)
            taken += len(data)
            if rate is not None:
                await asyncio.sleep(started + taken / rate - time.monotonic())
    return taken


async def pieces(reader, headers):
    """The lengths of the pieces that a body comes in."""
    if b"content-length" in headers:
        yield int(headers[b"content-length"])
        return
    while size := int(await reader.readline(), 16):
        yield size
        await reader.readline()
    await reader.readline()


async def give(writer, bytes):
    writer.write(OK + b"content-length: %d\r\n\r\n" % bytes)
    while bytes:
        piece = memoryview(CHUNK)[: min(bytes, len(CHUNK))]
        writer.write(piece)
        bytes -= len(piece)
        await writer.drain()


async def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    options = parser.parse_args()
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    server = await asyncio.start_server(serve, "127.0.0.1", options.port, backlog=4096)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
