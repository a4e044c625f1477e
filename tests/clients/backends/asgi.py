"""An ASGI application on uvicorn and h11 that records every request, and answers as its path says."""

import asyncio
import itertools
import json
import socket
import sys
import time

import uvicorn

KEPT, RECORDED = 65536, 1024
NUMBERS = itertools.count(1)


def record(**fields):
    sys.stdout.write(json.dumps({"server": "uvicorn", "at": time.monotonic(), **fields}) + "\n")
    sys.stdout.flush()


class Exchange:
    """One request and its answer."""

    def __init__(self, scope, receive, send):
        self.scope, self.receive, self.send = scope, receive, send
        self.number = next(NUMBERS)
        self.target = scope["raw_path"].decode("latin1")
        if scope["query_string"]:
            self.target += "?" + scope["query_string"].decode("latin1")
        self.headers = [[name.decode("latin1"), value.decode("latin1")] for name, value in scope["headers"]]
        self.case = next((value for name, value in self.headers if name == "x-case"), "")

    def note(self, event, **fields):
        record(event=event, number=self.number, method=self.scope["method"], target=self.target, case=self.case, **fields)

    async def body(self):
        """Reads the body; `None` when the client went away before its end."""
        length, kept, more = 0, b"", True
        while more:
            message = await self.receive()
            if message["type"] == "http.disconnect":
                return None
            piece = message.get("body", b"")
            length += len(piece)
            kept += piece[: KEPT - len(kept)]
            more = message.get("more_body", False)
        return length, kept

    async def start(self, status, *headers):
        named = [(name.encode(), value.encode()) for name, value in headers]
        await self.send({"type": "http.response.start", "status": status, "headers": named})

    async def say(self, data, more=True):
        await self.send({"type": "http.response.body", "body": data, "more_body": more})

    async def until_gone(self):
        while (await self.receive())["type"] != "http.disconnect":
            pass
        self.note("gone")


async def events(exchange, count, every):
    await exchange.start(200, ("content-type", "text/event-stream"), ("cache-control", "no-store"))
    for number in range(count):
        await exchange.say(f"id: {number}\ndata: {time.monotonic():.6f}\n\n".encode())
        await asyncio.sleep(every)
    await exchange.say(b"", more=False)


async def application(scope, receive, send):
    if scope["type"] != "http":
        return
    exchange = Exchange(scope, receive, send)
    exchange.note("head", headers=exchange.headers)
    words = scope["path"].strip("/").split("/")
    if words[0] == "hang":
        return await exchange.until_gone()
    if words[0] == "drip":
        await exchange.start(200, ("content-type", "text/plain"))
        await exchange.say(b"first\n")
        return await exchange.until_gone()
    if words[0] == "events":
        return await events(exchange, int(words[1]), float(words[2]) / 1000)
    if words[0] == "early":
        await exchange.start(200, ("content-length", "6"))
        return await exchange.say(b"early\n", more=False)
    read = await exchange.body()
    if read is None:
        return exchange.note("gone")
    length, kept = read
    exchange.note("request", headers=exchange.headers, length=length, body=kept[:RECORDED].decode("latin1"))
    await answer(exchange, words, length, kept)


async def answer(exchange, words, length, kept):
    seen = ("x-seen", exchange.case)
    if words[0] == "status":
        status = int(words[1])
        await exchange.start(status, seen, *([] if status in (204, 205, 304) else [("content-length", "7")]))
        await exchange.say(b"" if status in (204, 205, 304) else b"status\n", more=False)
    elif words[0] == "echo":
        await exchange.start(200, seen, ("content-length", str(len(kept))))
        await exchange.say(kept, more=False)
    elif words[0] == "chunked":
        await exchange.start(200, seen)
        for piece in (b"one,", b"two,", b"three"):
            await exchange.say(piece)
        await exchange.say(b"", more=False)
    elif words[0] == "empty":
        await exchange.start(200, seen, ("content-length", "0"))
        await exchange.say(b"", more=False)
    elif words[0] == "headers":
        await exchange.start(200, ("x-large", "v" * int(words[1])), ("content-length", "0"))
        await exchange.say(b"", more=False)
    else:
        text = f"{exchange.scope['method']} {exchange.target} {length}\n".encode()
        await exchange.start(200, seen, ("content-length", str(len(text))))
        await exchange.say(text, more=False)


def main():
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(511)
    print(listener.getsockname()[1], flush=True)
    config = uvicorn.Config(
        application, http="h11", ws="none", lifespan="off", log_level="error", access_log=False, timeout_keep_alive=75,
        h11_max_incomplete_event_size=262144,
    )  # fmt: skip
    uvicorn.Server(config).run(sockets=[listener])


main()
