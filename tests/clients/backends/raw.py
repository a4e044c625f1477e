"""A server of canned answers, also broken ones; `/name/number` picks the answer and marks the request."""

import json
import socket
import sys
import threading

HEAD = b"HTTP/1.1 200 OK\r\n"
# What is sent for a request; a connection that is not kept is closed after it.
ANSWERS = {
    # Well formed, though rare.
    "close-delimited": HEAD + b"Connection: close\r\n\r\nuntil the end",
    "http10": b"HTTP/1.0 200 OK\r\n\r\nuntil the end",
    "http10-length": b"HTTP/1.0 200 OK\r\nContent-Length: 4\r\n\r\nfour",
    "204-with-length": b"HTTP/1.1 204 No Content\r\nContent-Length: 4\r\n\r\n",
    "304-with-length": b"HTTP/1.1 304 Not Modified\r\nETag: \"a\"\r\nContent-Length: 4\r\n\r\n",
    "205-empty": b"HTTP/1.1 205 Reset Content\r\nContent-Length: 0\r\n\r\n",
    "head-length": HEAD + b"Content-Length: 1000\r\n\r\n",
    "100-first": b"HTTP/1.1 100 Continue\r\n\r\n" + HEAD + b"Content-Length: 4\r\n\r\nfour",
    "103-first": b"HTTP/1.1 103 Early Hints\r\nLink: </x>; rel=preload\r\n\r\n" + HEAD + b"Content-Length: 4\r\n\r\nfour",
    "102-twice": b"HTTP/1.1 102 Processing\r\n\r\n" * 2 + HEAD + b"Content-Length: 4\r\n\r\nfour",
    "hop-by-hop": HEAD + b"Connection: keep-alive, x-evil\r\nX-Evil: 1\r\nKeep-Alive: timeout=5\r\nProxy-Authenticate: x\r\nUpgrade: h2c\r\n"
    b"X-Mesh-Worker: forged\r\nX-Mesh-Retry: 1\r\nX-Mesh-Error: forged\r\nContent-Length: 4\r\n\r\nfour",
    "many-cookies": HEAD + b"Set-Cookie: a=1\r\nSet-Cookie: b=2\r\nContent-Length: 4\r\n\r\nfour",
    "trailers": HEAD + b"Transfer-Encoding: chunked\r\nTrailer: x-sum\r\n\r\n4\r\nfour\r\n0\r\nx-sum: abc\r\n\r\n",
    # Cut: the client must see that something is missing.
    "cut-length": HEAD + b"Content-Length: 1000\r\n\r\nfour",
    "cut-chunk": HEAD + b"Transfer-Encoding: chunked\r\n\r\n1000\r\nfour",
    "cut-chunks": HEAD + b"Transfer-Encoding: chunked\r\n\r\n4\r\nfour\r\n",
    "bad-chunk": HEAD + b"Transfer-Encoding: chunked\r\n\r\n4\r\nfour\r\nxyz\r\n",
    "long-chunk": HEAD + b"Transfer-Encoding: chunked\r\n\r\n4\r\nfour and more\r\n0\r\n\r\n",
    # Broken before there is an answer.
    "nothing": b"",
    "half-a-head": b"HTTP/1.1 200 OK\r\nContent-Le",
    "no-http": b"220 smtp.example ESMTP\r\n",
    "two-lengths": HEAD + b"Content-Length: 4\r\nContent-Length: 5\r\n\r\nfour!",
    "bad-length": HEAD + b"Content-Length: +4\r\n\r\nfour",
    "bad-status": b"HTTP/1.1 20 OK\r\nContent-Length: 4\r\n\r\nfour",
    "folded": HEAD + b"X: a\r\n b\r\nContent-Length: 4\r\n\r\nfour",
    "nul": HEAD + b"X: a\x00b\r\nContent-Length: 4\r\n\r\nfour",
    "bare-cr": HEAD + b"X: a\rX-Evil: b\r\nContent-Length: 4\r\n\r\nfour",
    "101-unasked": b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil",
    # One answer, and another that nobody asked for.
    "two-answers": HEAD + b"Content-Length: 4\r\n\r\nfourHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil",
    "length-and-coding": HEAD + b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nfour\r\n0\r\n\r\n",
    "204-with-body": b"HTTP/1.1 204 No Content\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil",
    "304-with-body": b"HTTP/1.1 304 Not Modified\r\nContent-Length: 42\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil",
    "head-with-body": HEAD + b"Content-Length: 42\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil",
}
KEPT = {"204-with-length", "304-with-length", "205-empty", "head-length", "100-first", "103-first", "102-twice", "hop-by-hop", "many-cookies", "trailers",
        "two-answers", "204-with-body", "304-with-body", "head-with-body", "plain", "101-unasked"}  # fmt: skip
LOCK = threading.Lock()


def converse(stream):
    data = b""
    with stream:
        while True:
            while b"\r\n\r\n" not in data:
                piece = stream.recv(65536)
                if not piece:
                    return
                data += piece
            head, data = data.split(b"\r\n\r\n", 1)
            line = head.split(b"\r\n")[0].decode("latin1")
            with LOCK:
                print(json.dumps({"event": "request", "line": line}), flush=True)
            name = line.split(" ")[1].split("/")[1]
            plain = HEAD + b"Content-Length: %d\r\n\r\n" % len(line) + line.encode()
            stream.sendall(ANSWERS.get(name, plain))
            if name not in KEPT:
                return


def main():
    listener = socket.create_server(("127.0.0.1", 0), backlog=511)
    print(listener.getsockname()[1], flush=True)
    while True:
        threading.Thread(target=converse, args=(listener.accept()[0],), daemon=True).start()


if __name__ == "__main__":
    sys.exit(main())
