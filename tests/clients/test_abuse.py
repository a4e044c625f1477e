"""Floods of HTTP/2 frames: memory and CPU time stay bounded, other clients are served meanwhile, and nothing dies."""

import contextlib
import http.client
import socket
import threading
import time

import pytest
from hyperframe.frame import (
    ContinuationFrame,
    DataFrame,
    GoAwayFrame,
    HeadersFrame,
    PingFrame,
    PriorityFrame,
    RstStreamFrame,
    SettingsFrame,
    WindowUpdateFrame,
)
from support import frames

from corpus.http2 import PREFACE, encoded

MIB = 1 << 20
ENHANCE_YOUR_CALM = 11
MANY = 10_000


def request(stream, path="node/hang", end=True, method=b"GET"):
    head = [(b":method", method), (b":scheme", b"http"), (b":path", b"/api/service/" + path.encode()), (b":authority", b"mesh")]
    return HeadersFrame(stream, encoded(head), flags=["END_HEADERS"] + (["END_STREAM"] if end else [])).serialize()


def streams(count=MANY):
    return range(1, 2 * count, 2)


def rapid_reset():
    """CVE-2023-44487."""
    for stream in streams():
        yield request(stream) + RstStreamFrame(stream, 8).serialize()


def rapid_reset_of_uploads():
    for stream in streams():
        yield request(stream, "node/sink", end=False, method=b"POST") + DataFrame(stream, b"x" * 100).serialize() + RstStreamFrame(stream, 8).serialize()


def made_you_reset_by_window():
    """CVE-2025-8671: the server is made to reset, by a window update of nothing."""
    for stream in streams():
        yield request(stream) + WindowUpdateFrame(stream, 0).serialize()


def made_you_reset_by_overflow():
    for stream in streams():
        yield request(stream) + WindowUpdateFrame(stream, 2**31 - 1).serialize() * 2


def made_you_reset_by_data():
    for stream in streams():
        yield request(stream) + DataFrame(stream, b"x").serialize()


def continuation_flood():
    """VU#421644: a head without an end."""
    yield HeadersFrame(1, encoded([(b":method", b"GET")])).serialize()
    for _ in range(4000):
        yield ContinuationFrame(1, encoded([(b"x", b"y" * 16000)])).serialize()


def continuation_flood_of_nothing():
    yield HeadersFrame(1, encoded([(b":method", b"GET")])).serialize()
    for _ in range(200):
        yield ContinuationFrame(1, b"").serialize() * 1000


def settings_flood():
    """CVE-2019-9515: each wants an answer, and nobody reads them."""
    for _ in range(100):
        yield SettingsFrame(0, {SettingsFrame.HEADER_TABLE_SIZE: 4096}).serialize() * 1000


def ping_flood():
    """CVE-2019-9512."""
    for _ in range(100):
        yield PingFrame(0, b"12345678").serialize() * 1000


def empty_frames_flood():
    """CVE-2019-9518."""
    yield request(1, "node/sink", end=False, method=b"POST")
    for _ in range(100):
        yield DataFrame(1, b"").serialize() * 1000


def priority_flood():
    """CVE-2019-9513."""
    for _ in range(100):
        yield b"".join(PriorityFrame(stream, depends_on=0, stream_weight=1).serialize() for stream in range(1, 2001, 2))


def unknown_frames_flood():
    for _ in range(100):
        yield (b"\x00\x00\x0a\xee\x00\x00\x00\x00\x00" + b"x" * 10) * 1000


def window_update_flood():
    for _ in range(100):
        yield WindowUpdateFrame(0, 1).serialize() * 1000


def header_bomb():
    """A big entry of the table, named thousands of times (CVE-2016-1544)."""
    for stream in streams(200):
        head = [(b":method", b"GET"), (b":scheme", b"http"), (b":path", b"/api/service/node/x"), (b":authority", b"mesh")]
        entry = b"\x40\x01x" + b"\x7f" + bytes([(3900 - 127) % 128 + 128, (3900 - 127) // 128]) + b"y" * 3900 if stream == 1 else b""
        yield HeadersFrame(stream, encoded(head) + entry + b"\xbe" * 12000, flags=["END_HEADERS", "END_STREAM"]).serialize()


def answers_that_nobody_reads():
    """CVE-2019-9511: 100 MiB into windows that never open."""
    for stream in streams(100):
        yield request(stream, "nginx/1MiB")


def more_streams_than_allowed():
    for stream in streams(2000):
        yield request(stream)


# What a flood opens goes on over the link; what stays within a connection does not.
OF_STREAMS = [
    rapid_reset, rapid_reset_of_uploads, made_you_reset_by_window, made_you_reset_by_overflow, made_you_reset_by_data, answers_that_nobody_reads,
    more_streams_than_allowed,
]  # fmt: skip
OF_FRAMES = [
    continuation_flood, continuation_flood_of_nothing, settings_flood, ping_flood, empty_frames_flood, priority_flood, unknown_frames_flood,
    window_update_flood, header_bomb,
]  # fmt: skip


class Watch:
    """A well-behaved client beside the flood, and the nodes' memory."""

    def __init__(self, mesh, ingress):
        self.mesh, self.ingress = mesh, ingress
        self.worst, self.failed, self.served, self.over = 0.0, [], 0, threading.Event()
        self.before = [node.process.resident_bytes() for node in mesh.nodes]
        self.peak = list(self.before)
        self.cpu = sum(node.process.cpu_seconds() for node in mesh.nodes)
        self.thread = threading.Thread(target=self.run)

    def run(self):
        while not (self.over.is_set() and self.served >= 3):
            started = time.monotonic()
            try:
                connection = http.client.HTTPConnection(self.ingress.host, self.ingress.port, timeout=20)
                connection.request("GET", "/api/service/node/beside")
                answer = connection.getresponse()
                if answer.status != 200 or answer.read() != b"GET /beside 0\n":
                    self.failed.append(answer.status)
                connection.close()
            except OSError as error:
                self.failed.append(error)
            self.served += 1
            self.worst = max(self.worst, time.monotonic() - started)
            for at, node in enumerate(self.mesh.nodes):
                self.peak[at] = max(self.peak[at], node.process.resident_bytes())
            if len(self.failed) > 10:
                return

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        self.thread.join()
        self.cpu = sum(node.process.cpu_seconds() for node in self.mesh.nodes) - self.cpu

    @property
    def growth(self):
        return max(after - before for before, after in zip(self.before, self.peak, strict=True))


def pour(stream, pieces, seconds=15):
    """Sends without reading, until all is sent, nobody takes it any more, or time is up."""
    deadline = time.monotonic() + seconds
    with contextlib.suppress(ConnectionError, TimeoutError):
        for piece in pieces:
            stream.sendall(piece)
            if time.monotonic() > deadline:
                return


def end_of(stream):
    """The code by which the connection ended; `None` when it goes on."""
    received = b""
    with contextlib.suppress(ConnectionError, TimeoutError):
        stream.settimeout(1)
        while piece := stream.recv(1 << 20):
            received += piece
            if len(received) > 32 * MIB:
                break
    codes = [frame.error_code for frame in frames.frames(received) if isinstance(frame, GoAwayFrame)]
    return codes[-1] if codes else None


@pytest.mark.parametrize("flood", OF_STREAMS, ids=lambda flood: flood.__name__)
def test_a_flood_of_streams_harms_nobody_else(mesh, ingress, backends, figure, flood):
    backends("node"), backends("nginx")
    figure(withstand(mesh, ingress, flood))


@pytest.mark.parametrize("flood", OF_FRAMES, ids=lambda flood: flood.__name__)
def test_a_flood_of_frames_harms_nobody_else(mesh, backends, figure, flood):
    backends("node")
    figure(withstand(mesh, mesh.by_hops[1], flood))


def withstand(mesh, ingress, flood):
    """Lets the flood in, and says what it cost."""
    with Watch(mesh, ingress) as watch, socket.create_connection((ingress.host, ingress.port), 10) as stream:
        stream.settimeout(2)
        no_window = SettingsFrame(0, {SettingsFrame.INITIAL_WINDOW_SIZE: 0}).serialize()
        pour(stream, [PREFACE + (no_window if flood is answers_that_nobody_reads else b""), *flood()])
        code = end_of(stream)
    assert not watch.failed
    assert watch.worst < 5
    assert watch.growth < 64 * MIB
    assert watch.cpu < 15
    return (
        f"{flood.__name__.replace('_', ' ')}, {ingress.hops} hop(s): {watch.growth / MIB:.1f} MiB more, {watch.cpu:.1f} s of CPU, "
        f"ended by code {code}; beside it {watch.served} served, slowest {watch.worst * 1000:.0f} ms"
    )


def test_a_rapid_reset_is_told_to_calm_down(ingress, backends):
    backends("node")
    with socket.create_connection((ingress.host, ingress.port), 10) as stream:
        stream.settimeout(2)
        pour(stream, [PREFACE, *rapid_reset()])
        assert end_of(stream) == ENHANCE_YOUR_CALM


BROKEN = {
    "a window update of nothing": WindowUpdateFrame(0, 0).serialize(),
    "a window that overflows": WindowUpdateFrame(0, 2**31 - 1).serialize(),
    "a short ping": b"\x00\x00\x01\x06\x00\x00\x00\x00\x00x",
    "data without a stream": b"\x00\x00\x01\x00\x00\x00\x00\x00\x00x",
    "a head without a stream": b"\x00\x00\x00\x01\x05\x00\x00\x00\x00",
}


@pytest.mark.parametrize("frame", BROKEN)
def test_an_error_of_the_connection_ends_it(ingress, frame):
    with socket.create_connection((ingress.host, ingress.port), 10) as stream:
        stream.settimeout(5)
        stream.sendall(PREFACE + BROKEN[frame])
        assert end_of(stream)
