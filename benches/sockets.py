#!/usr/bin/env python3
"""Clients that stay: idle connections and WebSockets, WebSockets that talk, streams of events, bodies of gigabytes.

Each prints a line when it is set up, and a line of JSON at its end. Those that hold connections end with SIGTERM.
"""

import argparse
import asyncio
import base64
import json
import os
import re
import resource
import signal
import socket
import struct
import time
import urllib.parse

EVENT = re.compile(rb"data: (\d+)\n\n")
CHUNK = bytes(1 << 20)
# Connections for one source address, below what a proxy may allow to one client.
PER_ADDRESS = 200


async def connect(url, number=0):
    """A connection to a URL; the `number` spreads many clients over addresses of loopback."""
    parts = urllib.parse.urlsplit(url)
    source = (f"127.0.1.{1 + number // PER_ADDRESS}", 0)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port, local_addr=source, limit=1 << 20)
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return reader, writer, parts.netloc, path


async def head_of(reader):
    """Status and headers of an answer."""
    lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
    return int(lines[0].split()[1]), headers


async def request(url, number=0, method="GET", fields=""):
    """Sends a request's head, and hands out the connection."""
    reader, writer, host, path = await connect(url, number)
    writer.write(f"{method} {path} HTTP/1.1\r\nhost: {host}\r\n{fields}\r\n".encode())
    return reader, writer


async def open_websocket(url, number):
    """A WebSocket, after the 101."""
    key = base64.b64encode(os.urandom(16)).decode()
    fields = f"connection: Upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: {key}\r\n"
    reader, writer = await request(url, number, fields=fields)
    status, _ = await asyncio.wait_for(head_of(reader), 10)
    if status != 101:
        writer.close()
        raise ConnectionError(f"status {status}")
    return reader, writer


def frame(opcode, data):
    """A client's frame: masked, of up to 125 bytes."""
    mask = os.urandom(4)
    masked = bytes(byte ^ mask[at % 4] for at, byte in enumerate(data))
    return bytes((0x80 | opcode, 0x80 | len(data))) + mask + masked


async def read_frame(reader):
    first, length = await reader.readexactly(2)
    return first & 0x0F, await reader.readexactly(length)


def stop_asked():
    """Set by SIGTERM."""
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    return stop


async def hold(options):
    """Idle connections, each after one request, or idle WebSockets, each after one message and its echo."""

    async def one(number):
        url = options.url[number % len(options.url)]
        if options.websockets:
            reader, writer = await open_websocket(url, number)
            writer.write(frame(1, b"hello"))
            assert await read_frame(reader) == (1, b"hello")
        else:
            reader, writer = await request(url, number)
            status, headers = await head_of(reader)
            assert status == 200
            await reader.readexactly(int(headers["content-length"]))
        return reader, writer

    stop, kept = stop_asked(), []
    for first in range(0, options.count, 50):
        batch = range(first, min(first + 50, options.count))
        kept += await asyncio.gather(*(one(number) for number in batch))
    print("ready", flush=True)
    await stop.wait()
    print(json.dumps({"open": sum(not reader.at_eof() for reader, _ in kept)}), flush=True)
    os._exit(0)


async def talk(options):
    """WebSockets that say something every second, and are opened again at the next URL when they end.

    Every end is told: when, the code of the close frame (none: the connection just ended), the URL, and the worst echo.
    """
    ends, stop = [], stop_asked()
    ready = {"open": 0}

    async def one(number):
        at, in_a_row = number, 0
        while not stop.is_set():
            url = options.url[at % len(options.url)]
            end = {"url": url, "code": None, "worst_ms": 0, "number": number}
            try:
                reader, writer = await open_websocket(url, number)
            except (OSError, asyncio.IncompleteReadError, asyncio.TimeoutError) as problem:
                at, in_a_row = at + 1, in_a_row + 1
                end |= {"code": "not opened", "why": repr(problem), "in_a_row": in_a_row}
                ends.append({**end, "at": time.monotonic_ns()})
                await asyncio.sleep(0.1)
                continue
            ready["open"], in_a_row = ready["open"] + 1, 0
            try:
                await converse(reader, writer, end)
            except (asyncio.IncompleteReadError, ConnectionError):
                pass
            except asyncio.TimeoutError:
                end["code"] = "silent"
            finally:
                writer.close()
            if not stop.is_set():
                ends.append({**end, "at": time.monotonic_ns()})
            at += 1

    async def converse(reader, writer, end):
        while True:
            writer.write(frame(1, b"hello"))
            sent = time.monotonic()
            opcode, data = await asyncio.wait_for(read_frame(reader), 10)
            if opcode == 8:
                end["code"] = struct.unpack("!H", data[:2])[0] if len(data) >= 2 else 1005
                writer.write(frame(8, data[:2]))
                return
            end["worst_ms"] = max(end["worst_ms"], round((time.monotonic() - sent) * 1000, 1))
            # A close frame may come while nothing is said.
            try:
                opcode, data = await asyncio.wait_for(read_frame(reader), 1)
            except asyncio.TimeoutError:
                continue
            end["code"] = struct.unpack("!H", data[:2])[0] if opcode == 8 and len(data) >= 2 else "unasked"
            writer.write(frame(8, data[:2]))
            return

    tasks = [asyncio.create_task(one(number)) for number in range(options.count)]
    while ready["open"] < options.count:
        await asyncio.sleep(0.05)
    print("ready", flush=True)
    await stop.wait()
    print(json.dumps(ends), flush=True)
    del tasks
    os._exit(0)


async def listen(options):
    """Streams of events, each with the time when it was written: how late they were here, in microseconds."""
    loop, delays, coalesced = asyncio.get_running_loop(), [], [0]

    async def open_stream(number):
        parts = urllib.parse.urlsplit(options.url[number % len(options.url)])
        connection = socket.create_connection((parts.hostname, parts.port))
        connection.setblocking(False)
        await loop.sock_sendall(connection, f"GET {parts.path}?{parts.query} HTTP/1.1\r\nhost: x\r\n\r\n".encode())
        ended, rest = loop.create_future(), bytearray()
        loop.add_reader(connection, take, connection, ended, rest)
        await ended
        connection.close()

    def take(connection, ended, rest):
        data = connection.recv(65536)
        now = time.monotonic_ns()
        rest += data
        last = 0
        for count, event in enumerate(EVENT.finditer(rest)):
            delays.append((now - int(event[1])) // 1000)
            coalesced[0] += count > 0
            last = event.end()
        del rest[:last]
        if not data or rest.endswith(b"0\r\n\r\n"):
            loop.remove_reader(connection)
            ended.set_result(None)

    await asyncio.gather(*(open_stream(number) for number in range(options.count)))
    delays.sort()
    at = lambda share: delays[min(int(len(delays) * share), len(delays) - 1)]
    said = {"events": len(delays), "p50": at(0.5), "p99": at(0.99), "p999": at(0.999), "coalesced": coalesced[0]}
    print(json.dumps(said), flush=True)


async def send(options):
    """A body of `--bytes` to the URL, and the answer to it."""
    reader, writer = await request(options.url[0], 0, "POST", f"content-length: {options.bytes}\r\n")
    left = options.bytes
    while left:
        piece = memoryview(CHUNK)[: min(left, len(CHUNK))]
        writer.write(piece)
        left -= len(piece)
        await writer.drain()
    status, headers = await head_of(reader)
    taken = int(await reader.readexactly(int(headers["content-length"])))
    print(json.dumps({"status": status, "bytes": taken}), flush=True)


async def fetch(options):
    """Reads an answer, however long it is."""
    reader, _ = await request(options.url[0])
    status, headers = await head_of(reader)
    taken = 0
    while taken < int(headers["content-length"]) and (data := await reader.read(1 << 20)):
        taken += len(data)
    print(json.dumps({"status": status, "bytes": taken}), flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["hold", "talk", "listen", "send", "fetch"])
    parser.add_argument("--count", type=int, default=1)
    parser.add_argument("--websockets", action="store_true")
    parser.add_argument("--bytes", type=int, default=0)
    parser.add_argument("url", nargs="+", help="taken in turns")
    options = parser.parse_args()
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    asyncio.run(globals()[options.what](options))


if __name__ == "__main__":
    main()
