"""Several fake nodes, and the summary that names them; ports at which nobody answers."""

import contextlib
import socket

from . import services
from .node import Node

CLUSTER = "it"
CLUSTER_ID = "5be1c09a77d0e213"


class Mesh:
    """Fake nodes of one cluster. Each tells the same live summary, until a test sets another."""

    def __init__(self, size):
        self.nodes = [Node() for _ in range(size)]
        self.tell(self.summary())

    def __iter__(self):
        return iter(self.nodes)

    def __getitem__(self, index):
        return self.nodes[index]

    def summary(self, nodes=None, **fields):
        """The value at the summary's key; entries may be nodes or ready ones."""
        entries = [getattr(node, "entry", node) for node in (self.nodes if nodes is None else nodes)]
        return {
            "v": 1,
            "cluster": CLUSTER,
            "cluster_id": CLUSTER_ID,
            "term": 12,
            "seq": 4711,
            "at": "2026-11-22T06:00:00Z",
            "by": "12D3KooWFake",
            "slot": 6,
            "nodes": entries,
            "heartbeat_leader": "12D3KooWFake",
            "workers": len(entries),
            "services": {"echo": {"healthy": 1, "total": 1}, "notes": {"healthy": 0, "total": 2}},
            "services_truncated": False,
            "writes": {"2026-11-22": {"9f3c01ab22d4e871": 7}},
            **fields,
        }

    def tell(self, summary):
        """What every node answers as live summary from now on."""
        for node in self.nodes:
            node.summary = summary

    def arrived(self, target):
        """The requests with this target, at whatever node."""
        return [request for node in self.nodes for request in node.deliveries(target)]

    def deliveries(self, target):
        """How often a request with this target arrived."""
        return len(self.arrived(target))

    def by_id(self, wanted):
        return next(node for node in self.nodes if node.id == wanted)

    def fail_first(self, fault):
        """The next request for a service meets a fault, wherever it arrives."""
        service = services.first(fault)
        for node in self.nodes:
            node.service = service

    def stop(self):
        for node in self.nodes:
            node.stop()


def entry(url, **fields):
    """A line of a summary."""
    return {"id": f"12D3KooW{abs(hash(url)):x}", "url": url, "zone": "eu", "epoch": 1, "version": 1, "unseen_since": None, **fields}


def unseen(node):
    """The line of a node that no writer has seen of late."""
    return {**node.entry, "unseen_since": "2026-11-22T06:00:00Z"}


class Refusing:
    """A port that refuses connections, and that nobody else gets."""

    IS = "refuse"

    def __init__(self):
        self.socket = socket.socket()
        self.socket.bind(("127.0.0.1", 0))
        self.entry = entry(f"http://127.0.0.1:{self.socket.getsockname()[1]}")

    def stop(self):
        self.socket.close()


class BlackHole:
    """A port where connections are not even made: its queue is full, so the kernel drops what comes."""

    IS = "are black holes"

    def __init__(self):
        self.socket = socket.socket()
        self.socket.bind(("127.0.0.1", 0))
        self.socket.listen(0)
        self.entry = entry(f"http://127.0.0.1:{self.socket.getsockname()[1]}")
        self.fillers = []
        for _ in range(4):
            filler = socket.socket()
            filler.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                filler.connect(self.socket.getsockname())
            self.fillers.append(filler)


    def stop(self):
        for each in (*self.fillers, self.socket):
            each.close()


class Silent:
    """A port where connections are made, and nothing is ever said."""

    IS = "are silent"

    def __init__(self):
        self.socket = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.entry = entry(f"http://127.0.0.1:{self.socket.getsockname()[1]}")

    def stop(self):
        self.socket.close()
