#!/usr/bin/env python3
"""Sends GETs when they are due, whatever became of those before, and writes for each how long it took and how it ended.

The load is open: a request's time begins when it was due, also when this program was late. Arrivals are a Poisson
process of a given seed, so everybody gets the same. One line of CSV a request: due (CLOCK_MONOTONIC, ns), microseconds
until the whole answer was there, outcome (the status and `x-mesh-error`, or what happened instead), times sent, who
served, attempts of the mesh.
"""

import argparse
import ctypes
import errno
import os
import random
import re
import select
import signal
import socket
import sys
import time
import urllib.parse

LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)\r\n", re.IGNORECASE)
WORKER = re.compile(rb"\r\nx-mesh-worker: *(\S+)\r\n", re.IGNORECASE)
ATTEMPTS = re.compile(rb"\r\nx-mesh-attempts: *(\d+)\r\n", re.IGNORECASE)
ERROR = re.compile(rb"\r\nx-mesh-error: *(\S+)\r\n", re.IGNORECASE)
CLOSES = re.compile(rb"\r\nconnection: *close\r\n", re.IGNORECASE)
NANOSECONDS = 1_000_000_000


class Timer:
    """A timerfd: epoll's own time-out has a resolution of 1 ms."""

    TFD_NONBLOCK, TFD_ABSTIME = 0o4000, 1

    def __init__(self):
        self.libc = ctypes.CDLL(None, use_errno=True)
        self.fd = self.libc.timerfd_create(time.CLOCK_MONOTONIC, self.TFD_NONBLOCK)
        if self.fd < 0:
            sys.exit(f"timerfd_create: {os.strerror(ctypes.get_errno())}")
        self.value = (ctypes.c_long * 4)()

    def set(self, at):
        self.value[2], self.value[3] = divmod(at, NANOSECONDS)
        self.libc.timerfd_settime(self.fd, self.TFD_ABSTIME, self.value, None)


class Request:
    __slots__ = ("due", "target", "sent")

    def __init__(self, due, target):
        self.due, self.target, self.sent = due, target, 0


class Connection:
    """One keep-alive connection, with one request at a time."""

    __slots__ = ("socket", "target", "request", "buffer", "connected", "answered")

    def __init__(self, target):
        self.target, self.request, self.buffer = target, None, b""
        self.connected, self.answered = False, 0
        self.socket = socket.socket()
        self.socket.setblocking(False)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


class Load:
    """Everything that is under way."""

    def __init__(self, urls, again, timeout):
        self.targets = [self.target(url) for url in urls]
        self.again, self.timeout = again, timeout * NANOSECONDS
        self.idle = [[] for _ in urls]
        self.by_fd, self.rows = {}, []
        self.epoll, self.timer = select.epoll(), Timer()
        self.epoll.register(self.timer.fd, select.EPOLLIN)

    @staticmethod
    def target(url):
        url = urllib.parse.urlsplit(url)
        path = (url.path or "/") + (f"?{url.query}" if url.query else "")
        return (url.hostname, url.port), f"GET {path} HTTP/1.1\r\nhost: {url.netloc}\r\n\r\n".encode()

    def run(self, dues):
        """Sends what is due until SIGTERM, and waits for the last answer."""
        position, swept = 0, 0
        stop = []
        signal.signal(signal.SIGTERM, lambda *_: stop.append(True))
        while position < len(dues) or any(connection.request for connection in self.by_fd.values()):
            now = time.monotonic_ns()
            if stop:
                del dues[position:]
            while position < len(dues) and dues[position] <= now:
                self.send(Request(dues[position], position % len(self.targets)))
                position += 1
            if now - swept > NANOSECONDS // 10:
                self.sweep(now)
                swept = now
            next_due = dues[position] if position < len(dues) else now + NANOSECONDS // 10
            self.timer.set(min(next_due, now + NANOSECONDS // 10))
            for fd, events in self.epoll.poll():
                if fd != self.timer.fd and (connection := self.by_fd.get(fd)):
                    self.ready(connection, events)

    def send(self, request):
        """Over an idle connection, or over a new one."""
        request.sent += 1
        if self.idle[request.target]:
            connection = self.idle[request.target].pop()
            connection.request = request
            self.write(connection)
            return
        connection = Connection(request.target)
        connection.request = request
        code = connection.socket.connect_ex(self.targets[request.target][0])
        self.by_fd[connection.socket.fileno()] = connection
        self.epoll.register(connection.socket.fileno(), select.EPOLLOUT)
        if code not in (0, errno.EINPROGRESS):
            self.lost(connection, "refused" if code == errno.ECONNREFUSED else "connect")

    def write(self, connection):
        try:
            connection.socket.send(self.targets[connection.target][1])
        except OSError:
            self.lost(connection, "closed")

    def ready(self, connection, events):
        if not connection.connected:
            code = connection.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if code:
                self.lost(connection, "refused" if code == errno.ECONNREFUSED else "connect")
                return
            connection.connected = True
            self.epoll.modify(connection.socket.fileno(), select.EPOLLIN)
            self.write(connection)
        elif events & (select.EPOLLIN | select.EPOLLHUP | select.EPOLLERR):
            self.read(connection)

    def read(self, connection):
        try:
            data = connection.socket.recv(65536)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        connection.buffer += data
        if not data:
            self.lost(connection, "cut" if connection.buffer else "closed")
        elif connection.request is None:
            self.close(connection)
        else:
            self.parse(connection)

    def parse(self, connection):
        head, found, body = connection.buffer.partition(b"\r\n\r\n")
        if not found:
            return
        head += b"\r\n"
        length = LENGTH.search(head)
        if length is None:
            self.lost(connection, "no-length")
        elif len(body) >= int(length[1]):
            worker, attempts, error = WORKER.search(head), ATTEMPTS.search(head), ERROR.search(head)
            outcome = head[9:12].decode() + (f" {error[1].decode()}" if error else "")
            served = worker[1].decode()[-8:] if worker else ""
            self.done(connection.request, outcome, served, attempts[1].decode() if attempts else "")
            connection.request, connection.buffer = None, b""
            connection.answered += 1
            if CLOSES.search(head):
                self.close(connection)
            else:
                self.idle[connection.target].append(connection)

    def done(self, request, outcome, worker="", attempts=""):
        took = (time.monotonic_ns() - request.due) // 1000
        self.rows.append((request.due, took, outcome, request.sent, worker, attempts))

    def lost(self, connection, how):
        """The connection is gone. After a refusal, or an end before any byte, the request may be sent once more."""
        request, connection.request = connection.request, None
        self.close(connection)
        if request is None:
            return
        if self.again and request.sent == 1 and how in ("refused", "closed"):
            request.target = (request.target + 1) % len(self.targets)
            self.send(request)
        else:
            self.done(request, how)

    def close(self, connection):
        if connection in self.idle[connection.target]:
            self.idle[connection.target].remove(connection)
        self.by_fd.pop(connection.socket.fileno(), None)
        connection.socket.close()

    def sweep(self, now):
        late = [c for c in self.by_fd.values() if c.request and now - c.request.due > self.timeout]
        for connection in late:
            self.lost(connection, "timeout")


def arrivals(rate, count, seed, start):
    """When requests are due, as a Poisson process."""
    draw, at, dues = random.Random(seed), start, []
    for _ in range(count):
        at += draw.expovariate(rate) * NANOSECONDS
        dues.append(int(at))
    return dues


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rate", type=float, required=True, help="requests a second")
    parser.add_argument("--count", type=int, required=True)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--timeout", type=int, default=10, help="seconds until a request is given up")
    parser.add_argument(
        "--again", action="store_true", help="once, at the next URL, after a refusal or an end unanswered"
    )
    parser.add_argument("url", nargs="+", help="taken in turns")
    options = parser.parse_args()
    load = Load(options.url, options.again, options.timeout)
    load.run(arrivals(options.rate, options.count, options.seed, time.monotonic_ns() + NANOSECONDS // 5))
    sys.stdout.write("".join(",".join(map(str, row)) + "\n" for row in sorted(load.rows)))


if __name__ == "__main__":
    main()
